#include "addon_values.h"

#include <string.h>

namespace hawser {

namespace {

constexpr uint32_t LARGEST = 0xffffffff;

bool given(const Napi::Value& value) { return !value.IsUndefined() && !value.IsNull(); }

std::string textOf(const Napi::Value& value) {
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

}  // namespace

uint32_t ValueReader::number(const Napi::Value& value, const char* what, uint32_t limit) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (number >= 0 && number <= limit && number == static_cast<double>(static_cast<uint32_t>(number)))
    return static_cast<uint32_t>(number);
  fail(std::string(what) + " must be a whole number from 0 to " + std::to_string(limit));
  return 0;
}

const uint8_t* ValueReader::bytes(const Napi::Value& value, const char* what, size_t length, size_t& found) {
  if (value.IsTypedArray()) {
    const auto array = value.As<Napi::TypedArray>();
    if (array.TypedArrayType() == napi_uint8_array) {
      const auto data = value.As<Napi::Uint8Array>();
      found = data.ByteLength();
      if (length == 0 || found == length) return data.Data();
    }
  }
  fail(std::string(what) + " must be a Uint8Array" + (length == 0 ? "" : " of " + std::to_string(length) + " bytes"));
  return nullptr;
}

bool ValueReader::endpoint(const Napi::Value& value, const char* what, Endpoint& endpoint) {
  const std::string text = textOf(value);
  const std::optional<Endpoint> parsed = parseEndpoint(text);
  if (!parsed) {
    fail(std::string(what) + " must be an address with a port, like 192.0.2.1:51820 or [2001:db8::1]:51820, not: " + text);
    return false;
  }
  endpoint = *parsed;
  return true;
}

Napi::Array ValueReader::array(const Napi::Value& value, const char* what) {
  if (value.IsArray()) return value.As<Napi::Array>();
  if (given(value)) fail(std::string(what) + " must be an array");
  return Napi::Array::New(value.Env(), 0);
}

Prefix ValueReader::prefix(const Napi::Value& value, const char* what) {
  const std::string text = textOf(value);
  const std::optional<Prefix> parsed = parsePrefix(text);
  if (parsed) return *parsed;
  fail(std::string(what) + " must be a prefix whose host bits are zero, like 10.1.0.0/16, not: " + text);
  return {};
}

std::vector<Prefix> ValueReader::prefixes(const Napi::Value& value, const char* what) {
  const Napi::Array list = array(value, what);
  std::vector<Prefix> result;
  for (uint32_t at = 0; at < list.Length() && !failed(); at++) {
    const Napi::HandleScope scope(value.Env());
    result.push_back(prefix(list.Get(at), what));
  }
  return result;
}

std::vector<uint32_t> ValueReader::numbers(const Napi::Value& value, const char* what) {
  const Napi::Array list = array(value, what);
  std::vector<uint32_t> result;
  for (uint32_t at = 0; at < list.Length() && !failed(); at++) result.push_back(number(list.Get(at), what, LARGEST));
  return result;
}

AddressMap ValueReader::addressMap(const Napi::Value& value, const char* what) {
  AddressMap map;
  PrefixMap prefixes;
  const Napi::Array list = array(value, what);
  for (uint32_t at = 0; at < list.Length() && !failed(); at++) {
    const Napi::HandleScope scope(value.Env());
    if (!list.Get(at).IsObject()) {
      fail(std::string(what) + " must hold {from, to}");
      break;
    }
    const auto mapping = list.Get(at).As<Napi::Object>();
    const Prefix from = prefix(mapping.Get("from"), what);
    const Prefix to = prefix(mapping.Get("to"), what);
    if (from.six != to.six || from.length != to.length) fail(std::string(what) + ": from and to must be equally long");
    if (from.six)
      map.mappings.push_back({true, 0, 0, prefixMask<Address6>(from.length), to.sixteen});
    else
      map.mappings.push_back({false, prefixMask<Address4>(from.length), to.four, 0, 0});
    prefixes.set(from, at);
  }
  map.table = prefixes.build();
  return map;
}

PrefixTable ValueReader::admissionTable(const Napi::Value& value, const char* what) {
  PrefixMap prefixes;
  const Napi::Array list = array(value, what);
  for (uint32_t at = 0; at < list.Length() && !failed(); at++) {
    const Napi::HandleScope scope(value.Env());
    if (!list.Get(at).IsObject()) {
      fail(std::string(what) + " must hold {prefix, groups}");
      break;
    }
    const auto entry = list.Get(at).As<Napi::Object>();
    const uint32_t groups = number(entry.Get("groups"), "groups", LARGEST);
    // All bits set means "no entry" in the table.
    if (groups == NO_VALUE) fail("groups may not be all 32 at once");
    const Prefix key = prefix(entry.Get("prefix"), what);
    if (!failed()) prefixes.set(key, groups);
  }
  return prefixes.build();
}

PeerChange ValueReader::peer(const Napi::Value& value) {
  PeerChange change;
  if (!value.IsObject()) {
    fail("upsertPeers must hold objects");
    return change;
  }
  const auto object = value.As<Napi::Object>();
  PeerSettings& settings = change.settings;
  settings.id = number(object.Get("id"), "id", LARGEST);
  settings.mtu = number(object.Get("mtu"), "mtu", 65535);
  if (settings.mtu != 0 && settings.mtu < 576) fail("mtu must be 0 (the TUN's) or at least 576");
  if (given(object.Get("endpoint"))) {
    Endpoint endpoint;
    if (this->endpoint(object.Get("endpoint"), "endpoint", endpoint)) change.endpoint = endpoint;
  }
  if (object.Get("translation").IsObject()) {
    const auto translation = object.Get("translation").As<Napi::Object>();
    for (const char* const way : {"in", "out"}) {
      if (!translation.Get(way).IsObject()) {
        fail("translation must hold in and out");
        break;
      }
      const auto maps = translation.Get(way).As<Napi::Object>();
      TranslationMaps& to = strcmp(way, "in") == 0 ? settings.in : settings.out;
      to.source = addressMap(maps.Get("source"), "source");
      to.destination = addressMap(maps.Get("destination"), "destination");
    }
  }
  if (object.Get("admission").IsObject()) {
    const auto admission = object.Get("admission").As<Napi::Object>();
    settings.hasAdmission = true;
    settings.admission.local = admissionTable(admission.Get("local"), "local");
    settings.admission.remote = admissionTable(admission.Get("remote"), "remote");
  }
  return change;
}

RouteChange ValueReader::route(const Napi::Value& value) {
  RouteChange change;
  if (!value.IsObject()) {
    fail("upsertRoutes must hold objects");
    return change;
  }
  const auto object = value.As<Napi::Object>();
  change.prefix = prefix(object.Get("prefix"), "prefix");
  const Napi::Array targets = array(object.Get("targets"), "targets");
  for (uint32_t at = 0; at < targets.Length() && !failed(); at++) {
    const Napi::Value target = targets.Get(at);
    if (textOf(target) == "local")
      change.targets.push_back(LOCAL_TARGET);
    else
      change.targets.push_back(number(target, "a route's target that isn't 'local'", LARGEST));
  }
  if (change.targets.empty()) fail("a route must have a target");
  return change;
}

void ValueReader::difference(const Napi::Value& value, Difference& difference, std::optional<bool>& switching) {
  if (!value.IsObject()) return fail("a difference must be an object");
  const auto object = value.As<Napi::Object>();
  difference.removePeers = numbers(object.Get("removePeers"), "removePeers");
  const Napi::Array peers = array(object.Get("upsertPeers"), "upsertPeers");
  for (uint32_t at = 0; at < peers.Length() && !failed(); at++) {
    const Napi::HandleScope scope(value.Env());
    difference.upsertPeers.push_back(peer(peers.Get(at)));
  }
  difference.removeRoutes = prefixes(object.Get("removeRoutes"), "removeRoutes");
  const Napi::Array routes = array(object.Get("upsertRoutes"), "upsertRoutes");
  for (uint32_t at = 0; at < routes.Length() && !failed(); at++) {
    const Napi::HandleScope scope(value.Env());
    difference.upsertRoutes.push_back(route(routes.Get(at)));
  }
  const Napi::Value sources = object.Get("tunSources");
  difference.tunSourcesGiven = !sources.IsUndefined();
  difference.tunSourcesAny = sources.IsNull();
  difference.tunSources = prefixes(sources, "tunSources");
  if (given(object.Get("deadPeers"))) difference.deadPeers = numbers(object.Get("deadPeers"), "deadPeers");
  if (object.Get("switching").IsBoolean()) switching = object.Get("switching").As<Napi::Boolean>().Value();
}

void ValueReader::options(const Napi::Value& value, EngineOptions& options) {
  if (!value.IsObject()) return fail("the engine's options must be an object");
  const auto object = value.As<Napi::Object>();
  if (!object.Get("tun").IsObject()) return fail("tun must be {name, mtu} or {fileDescriptor}");
  const auto tun = object.Get("tun").As<Napi::Object>();
  if (given(tun.Get("fileDescriptor"))) {
    options.tunDescriptor = static_cast<int>(number(tun.Get("fileDescriptor"), "fileDescriptor", 0x7fffffff));
  } else {
    options.tunName = textOf(tun.Get("name"));
    options.mtu = number(tun.Get("mtu"), "mtu", 65535);
    if (options.mtu < 68) fail("the MTU of a TUN device is at least 68");
  }
  options.port = static_cast<uint16_t>(number(object.Get("port"), "port", 65535));
  const auto optional = [&](const char* name, uint32_t limit, uint32_t& to) {
    if (given(object.Get(name))) to = number(object.Get(name), name, limit);
  };
  optional("fwmark", LARGEST, options.mark);
  optional("threadPairs", 64, options.threadPairs);
  optional("maximumPeers", 1 << 20, options.maximumPeers);
  optional("handshakeQueue", 1 << 16, options.handshakeQueue);
  if (options.threadPairs == 0 || options.maximumPeers == 0 || options.handshakeQueue == 0)
    fail("threadPairs, maximumPeers and handshakeQueue are at least 1");
  const Napi::Array aead = array(object.Get("aead"), "aead");
  for (uint32_t at = 0; at < aead.Length(); at++) options.aead.push_back(textOf(aead.Get(at)));
  if (!object.Get("onEvents").IsFunction()) fail("onEvents must be a function");
}

Napi::Value eventValue(Napi::Env env, const Event& event, Engine& engine) {
  Napi::Object object = Napi::Object::New(env);
  static constexpr const char* TYPES[] = {"handshake",        "handshake-wanted", "session-confirmed",
                                          "endpoint-changed", "probe-answered",   "tun-closed",
                                          "udp-failed"};
  static constexpr const char* REASONS[] = {"no-session", "rekey-messages", "rekey-time"};
  object.Set("type", TYPES[static_cast<size_t>(event.type)]);
  switch (event.type) {
    case EventType::HANDSHAKE:
      object.Set("source", formatEndpoint(event.source));
      object.Set("destination", formatLocal(event.source));
      {
        auto bytes = Napi::Uint8Array::New(env, event.length);
        memcpy(bytes.Data(), event.bytes, event.length);
        object.Set("bytes", bytes);
      }
      break;
    case EventType::HANDSHAKE_WANTED:
      object.Set("peer", event.peer);
      object.Set("reason", REASONS[static_cast<size_t>(event.reason)]);
      break;
    case EventType::SESSION_CONFIRMED:
      object.Set("peer", event.peer);
      object.Set("localIndex", event.localIndex);
      break;
    case EventType::ENDPOINT_CHANGED: {
      const std::optional<Endpoint> endpoint = engine.endpoint(event.peer);
      if (!endpoint) return env.Undefined();
      object.Set("peer", event.peer);
      object.Set("endpoint", formatEndpoint(*endpoint));
      break;
    }
    case EventType::PROBE_ANSWERED:
      object.Set("peer", event.peer);
      object.Set("token", event.token);
      break;
    case EventType::TUN_CLOSED:
      object.Set("message", std::string("the TUN device is gone: ") + strerror(event.error));
      break;
    case EventType::UDP_FAILED:
      object.Set("message", std::string("the UDP socket failed: ") + strerror(event.error));
      break;
  }
  return object;
}

}  // namespace hawser
