// The engine's JavaScript interface; index.d.ts documents each function.
#include <napi.h>
#include <net/if.h>

#include "addon_values.h"
#include "x25519.h"

namespace hawser {

namespace {

constexpr size_t DRAIN_LIMIT = 256;

class EngineObject final : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Engine",
                       {InstanceMethod<&EngineObject::now>("now"),
                        InstanceMethod<&EngineObject::setPublicKey>("setPublicKey"),
                        InstanceMethod<&EngineObject::setCookieSecret>("setCookieSecret"),
                        InstanceMethod<&EngineObject::apply>("apply"),
                        InstanceMethod<&EngineObject::addKeypair>("addKeypair"),
                        InstanceMethod<&EngineObject::clearKeypairs>("clearKeypairs"),
                        InstanceMethod<&EngineObject::hasIndex>("hasIndex"),
                        InstanceMethod<&EngineObject::sendToPeer>("sendToPeer"),
                        InstanceMethod<&EngineObject::sendTo>("sendTo"),
                        InstanceMethod<&EngineObject::setEndpoint>("setEndpoint"),
                        InstanceMethod<&EngineObject::endpoint>("endpoint"),
                        InstanceMethod<&EngineObject::sendKeepalive>("sendKeepalive"),
                        InstanceMethod<&EngineObject::sendPathProbe>("sendPathProbe"),
                        InstanceMethod<&EngineObject::drain>("drain"),
                        InstanceMethod<&EngineObject::setPort>("setPort"),
                        InstanceMethod<&EngineObject::setFwmark>("setFwmark"),
                        InstanceMethod<&EngineObject::close>("close"),
                        InstanceAccessor<&EngineObject::tunName>("tunName"),
                        InstanceAccessor<&EngineObject::port>("port"),
                        InstanceAccessor<&EngineObject::features>("features")});
  }

  /** Arguments: the options, and the zeroed shared memory of the counters as a BigUint64Array. */
  explicit EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info), env_(info.Env()) {
    const std::string error = start(info);
    if (!error.empty()) raise(error);
  }

  ~EngineObject() override { end(); }

 private:
  std::string start(const Napi::CallbackInfo& info) {
    EngineOptions options;
    ValueReader reader;
    reader.options(info[0], options);
    if (reader.failed()) return reader.error();
    if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array ||
        info[1].As<Napi::TypedArray>().ElementLength() != (size_t{options.maximumPeers} + 1) * COUNTER_STRIDE)
      return "the counters must be a BigUint64Array of (maximumPeers + 1) rows";
    auto counters = info[1].As<Napi::BigUint64Array>();
    options.counters = counters.Data();
    counters_ = Napi::Persistent(info[1].As<Napi::Object>());
    events_ = Napi::ThreadSafeFunction::New(env_, info[0].As<Napi::Object>().Get("onEvents").As<Napi::Function>(),
                                            "hawser engine events", 0, 1);
    // The engine has its own event queue; this function only signals that it is not empty.
    options.notify = [this] { events_.NonBlockingCall(); };
    std::string error;
    engine_ = Engine::start(options, error);
    if (!engine_) {
      events_.Release();
      counters_.Reset();
      return error;
    }
    // Registered after the function above, so it runs first: no thread calls that function once it is released.
    napi_add_env_cleanup_hook(env_, atExit, this);
    open_ = true;
    // An engine runs until it is closed, even if JavaScript no longer references it.
    Ref();
    return "";
  }

  static void atExit(void* data) {
    auto* const self = static_cast<EngineObject*>(data);
    self->engine_->close();
    // The event function is released now, and no longer exists when this object is finalized.
    self->open_ = false;
  }

  void raise(const std::string& text) { Napi::Error::New(env_, text).ThrowAsJavaScriptException(); }

  void end() {
    if (!open_) return;
    open_ = false;
    napi_remove_env_cleanup_hook(env_, atExit, this);
    engine_->close();
    events_.Release();
  }

  void close(const Napi::CallbackInfo&) {
    if (!open_) return;
    end();
    Unref();
  }

  Napi::Value now(const Napi::CallbackInfo& info) { return Napi::BigInt::New(info.Env(), engineNow()); }

  void setPublicKey(const Napi::CallbackInfo& info) {
    if (info[0].IsNull()) return engine_->setPublicKey(nullptr);
    ValueReader reader;
    size_t length = 0;
    const uint8_t* const key = reader.bytes(info[0], "the public key", 32, length);
    if (key == nullptr) return raise(reader.error());
    engine_->setPublicKey(key);
  }

  void setCookieSecret(const Napi::CallbackInfo& info) {
    if (info[0].IsNull()) return engine_->setCookieSecret(nullptr);
    ValueReader reader;
    size_t length = 0;
    const uint8_t* const secret = reader.bytes(info[0], "the secret of cookies", 32, length);
    if (secret == nullptr) return raise(reader.error());
    engine_->setCookieSecret(secret);
  }

  void apply(const Napi::CallbackInfo& info) {
    ValueReader reader;
    Difference difference;
    std::optional<bool> switching;
    reader.difference(info[0], difference, switching);
    if (reader.failed()) return raise(reader.error());
    const std::string error = engine_->apply(difference);
    if (!error.empty()) return raise(error);
    if (switching) engine_->setSwitching(*switching);
  }

  void addKeypair(const Napi::CallbackInfo& info) {
    ValueReader reader;
    const uint32_t peer = reader.number(info[0], "peer", 0xffffffff);
    if (!info[1].IsObject()) return raise("a keypair must be an object");
    const auto object = info[1].As<Napi::Object>();
    KeypairInput input{};
    size_t length = 0;
    input.localIndex = reader.number(object.Get("localIndex"), "localIndex", 0xffffffff);
    input.remoteIndex = reader.number(object.Get("remoteIndex"), "remoteIndex", 0xffffffff);
    input.sendKey = reader.bytes(object.Get("sendKey"), "sendKey", 32, length);
    input.receiveKey = reader.bytes(object.Get("receiveKey"), "receiveKey", 32, length);
    if (reader.failed()) return raise(reader.error());
    if (!object.Get("initiator").IsBoolean() || !object.Get("createdAt").IsBigInt())
      return raise("initiator must be a boolean and createdAt a bigint");
    input.initiator = object.Get("initiator").As<Napi::Boolean>().Value();
    const Napi::Value yields = object.Get("yields");
    input.yields = yields.IsBoolean() && yields.As<Napi::Boolean>().Value();
    bool lossless = false;
    input.createdAt = object.Get("createdAt").As<Napi::BigInt>().Uint64Value(&lossless);
    const std::string error = engine_->addKeypair(peer, input);
    if (!error.empty()) raise(error);
  }

  void clearKeypairs(const Napi::CallbackInfo& info) {
    ValueReader reader;
    const uint32_t peer = reader.number(info[0], "peer", 0xffffffff);
    if (reader.failed()) return raise(reader.error());
    if (open_) engine_->clearKeypairs(peer);
  }

  Napi::Value hasIndex(const Napi::CallbackInfo& info) {
    ValueReader reader;
    const uint32_t index = reader.number(info[0], "localIndex", 0xffffffff);
    if (reader.failed()) raise(reader.error());
    return Napi::Boolean::New(info.Env(), open_ && engine_->hasIndex(index));
  }

  Napi::Value sendToPeer(const Napi::CallbackInfo& info) {
    ValueReader reader;
    size_t length = 0;
    const uint32_t peer = reader.number(info[0], "peer", 0xffffffff);
    const uint8_t* const bytes = reader.bytes(info[1], "bytes", 0, length);
    if (!reader.failed() && length > 1500) reader.number(info.Env().Undefined(), "the length of a message", 1500);
    if (reader.failed()) raise(reader.error());
    return Napi::Boolean::New(info.Env(), !reader.failed() && engine_->sendToPeer(peer, bytes, length));
  }

  Napi::Value sendTo(const Napi::CallbackInfo& info) {
    ValueReader reader;
    size_t length = 0;
    Endpoint endpoint;
    reader.endpoint(info[0], "destination", endpoint);
    const uint8_t* const bytes = reader.bytes(info[1], "bytes", 0, length);
    if (!reader.failed() && length > 1500) reader.number(info.Env().Undefined(), "the length of a message", 1500);
    if (reader.failed()) {
      raise(reader.error());
      return info.Env().Undefined();
    }
    if (!readLocal(info[2], endpoint)) return info.Env().Undefined();
    return Napi::Boolean::New(info.Env(), engine_->sendTo(endpoint, bytes, length));
  }

  void setEndpoint(const Napi::CallbackInfo& info) {
    ValueReader reader;
    Endpoint endpoint;
    const uint32_t peer = reader.number(info[0], "peer", 0xffffffff);
    reader.endpoint(info[1], "endpoint", endpoint);
    if (reader.failed()) return raise(reader.error());
    if (readLocal(info[2], endpoint)) engine_->setEndpoint(peer, endpoint);
  }

  /** Our own address to send from; absent or empty: the kernel chooses. */
  bool readLocal(const Napi::Value& value, Endpoint& endpoint) {
    if (!value.IsString()) return true;
    const std::string text = value.As<Napi::String>().Utf8Value();
    if (text.empty() || parseLocal(text, endpoint)) return true;
    raise("source must be an address of the destination's version, without a port, not: " + text);
    return false;
  }

  Napi::Value endpoint(const Napi::CallbackInfo& info) {
    ValueReader reader;
    const uint32_t peer = reader.number(info[0], "peer", 0xffffffff);
    if (reader.failed()) raise(reader.error());
    const std::optional<Endpoint> endpoint = engine_->endpoint(peer);
    if (!endpoint) return info.Env().Undefined();
    return Napi::String::New(info.Env(), formatEndpoint(*endpoint));
  }

  void sendKeepalive(const Napi::CallbackInfo& info) {
    ValueReader reader;
    const uint32_t peer = reader.number(info[0], "peer", 0xffffffff);
    if (reader.failed()) return raise(reader.error());
    engine_->sendKeepalive(peer);
  }

  Napi::Value sendPathProbe(const Napi::CallbackInfo& info) {
    ValueReader reader;
    const uint32_t peer = reader.number(info[0], "peer", 0xffffffff);
    const uint32_t token = reader.number(info[1], "token", 0xffffffff);
    const uint32_t size = reader.number(info[2], "size", 65'000);
    if (!reader.failed() && size < PATH_PROBE_HEADER) reader.fail("a path probe has at least 16 bytes");
    if (reader.failed()) {
      raise(reader.error());
      return info.Env().Undefined();
    }
    static constexpr const char* RESULTS[] = {"sent", "too-big", "no-session"};
    return Napi::String::New(info.Env(), RESULTS[static_cast<size_t>(engine_->sendPathProbe(peer, token, size))]);
  }

  Napi::Value drain(const Napi::CallbackInfo& info) {
    std::vector<Event> events;
    const bool more = engine_->drain(events, DRAIN_LIMIT);
    Napi::Array array = Napi::Array::New(info.Env());
    uint32_t count = 0;
    for (const Event& event : events) {
      const Napi::Value value = eventValue(info.Env(), event, *engine_);
      if (!value.IsUndefined()) array.Set(count++, value);
    }
    Napi::Object drained = Napi::Object::New(info.Env());
    drained.Set("events", array);
    // Cannot be inferred from the number of events, since those of removed peers were skipped above.
    drained.Set("more", more);
    return drained;
  }

  Napi::Value setPort(const Napi::CallbackInfo& info) {
    ValueReader reader;
    const uint32_t port = reader.number(info[0], "port", 65535);
    const std::string error = reader.failed() ? reader.error() : engine_->setPort(static_cast<uint16_t>(port));
    if (!error.empty()) raise(error);
    return Napi::Number::New(info.Env(), engine_->port());
  }

  void setFwmark(const Napi::CallbackInfo& info) {
    ValueReader reader;
    const uint32_t mark = reader.number(info[0], "fwmark", 0xffffffff);
    const std::string error = reader.failed() ? reader.error() : engine_->setMark(mark);
    if (!error.empty()) raise(error);
  }

  Napi::Value tunName(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), engine_->core().tun.name());
  }

  Napi::Value port(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), engine_->port()); }

  Napi::Value features(const Napi::CallbackInfo& info) {
    const Core& core = engine_->core();
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("aead", engine_->aeadName());
    object.Set("tunVnetHeader", core.tun.features().virtioHeader);
    object.Set("tunTcpSegmentation", core.tun.features().tcpSegmentation.load());
    object.Set("tunUdpSegmentation", core.tun.features().udpSegmentation.load());
    object.Set("udpSegmentation", core.udp.segmentation.load());
    object.Set("udpReceiveCoalescing", core.udp.coalescing.load());
    object.Set("ipv6", core.udp.six.load());
    object.Set("threadPairs", engine_->threadPairs());
    return object;
  }

  Napi::Env env_;
  std::unique_ptr<Engine> engine_;
  Napi::ThreadSafeFunction events_;
  Napi::ObjectReference counters_;
  bool open_ = false;
};

Napi::Value measure(const Napi::CallbackInfo& info) {
  Napi::Array array = Napi::Array::New(info.Env());
  uint32_t count = 0;
  for (const AeadLibrary& library : aeadLibraries()) {
    const AeadMeasurement measured = measureAead(library);
    if (measured.megabytesPerSecond == 0) continue;
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("name", measured.name);
    object.Set("megabytesPerSecond", measured.megabytesPerSecond);
    object.Set("passed", measured.passed);
    array.Set(count++, object);
  }
  return array;
}

/** Undefined if the arguments are invalid; the exception is already pending. */
Napi::Value multiply(const Napi::CallbackInfo& info) {
  ValueReader reader;
  size_t length = 0;
  const uint8_t* const privateKey = reader.bytes(info[0], "the private key", 32, length);
  const uint8_t* const publicKey = reader.bytes(info[1], "the public key", 32, length);
  if (reader.failed()) {
    Napi::TypeError::New(info.Env(), reader.error()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  auto product = Napi::Uint8Array::New(info.Env(), 32);
  if (!x25519(product.Data(), privateKey, publicKey)) return info.Env().Null();
  return product;
}

Napi::Value publicKeyOf(const Napi::CallbackInfo& info) {
  ValueReader reader;
  size_t length = 0;
  const uint8_t* const privateKey = reader.bytes(info[0], "the private key", 32, length);
  if (reader.failed()) {
    Napi::TypeError::New(info.Env(), reader.error()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  auto key = Napi::Uint8Array::New(info.Env(), 32);
  x25519PublicKey(key.Data(), privateKey);
  return key;
}

/** if_nametoindex(3): 0 when there is no such interface. */
Napi::Value interfaceIndex(const Napi::CallbackInfo& info) {
  const std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  return Napi::Number::New(info.Env(), if_nametoindex(name.c_str()));
}

/** if_indextoname(3): null when there is no such interface. */
Napi::Value interfaceName(const Napi::CallbackInfo& info) {
  char name[IF_NAMESIZE];
  const uint32_t index = info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value() : 0;
  if (if_indextoname(index, name) == nullptr) return info.Env().Null();
  return Napi::String::New(info.Env(), name);
}

Napi::Object layout(Napi::Env env) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Object columns = Napi::Object::New(env);
  Napi::Array reasons = Napi::Array::New(env);
  for (uint32_t at = 0; at < FIRST_DROP; at++) columns.Set(COUNTER_NAMES[at], at);
  for (uint32_t at = 0; at < static_cast<uint32_t>(Drop::COUNT); at++) {
    columns.Set(DROP_NAMES[at], FIRST_DROP + at);
    reasons.Set(at, DROP_NAMES[at]);
  }
  object.Set("stride", static_cast<uint32_t>(COUNTER_STRIDE));
  object.Set("columns", columns);
  object.Set("dropReasons", reasons);
  return object;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("Engine", EngineObject::define(env));
  exports.Set("measureAead", Napi::Function::New(env, measure, "measureAead"));
  exports.Set("counterLayout", layout(env));
  exports.Set("interfaceIndex", Napi::Function::New(env, interfaceIndex, "interfaceIndex"));
  exports.Set("interfaceName", Napi::Function::New(env, interfaceName, "interfaceName"));
  if (hasX25519()) {
    Napi::Object curve = Napi::Object::New(env);
    curve.Set("multiply", Napi::Function::New(env, multiply, "multiply"));
    curve.Set("publicKeyOf", Napi::Function::New(env, publicKeyOf, "publicKeyOf"));
    exports.Set("x25519", curve);
  }
  return exports;
}

}  // namespace

NODE_API_MODULE(hawser, initialize)

}  // namespace hawser
