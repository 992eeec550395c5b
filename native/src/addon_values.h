// Converts JavaScript values to the engine's. Errors are text that the caller throws: no C++ exception leaves the addon.
#pragma once

#include <napi.h>

#include <string>

#include "engine.h"

namespace hawser {

/** Reads values; it keeps the first error and stops reading there. */
class ValueReader {
 public:
  const std::string& error() const { return error_; }
  bool failed() const { return !error_.empty(); }

  void options(const Napi::Value& value, EngineOptions& options);
  void difference(const Napi::Value& value, Difference& difference, std::optional<bool>& switching);
  bool endpoint(const Napi::Value& value, const char* what, Endpoint& endpoint);
  /** The bytes of a Uint8Array with this length (0: any); nullptr if it is not one. */
  const uint8_t* bytes(const Napi::Value& value, const char* what, size_t length, size_t& found);
  uint32_t number(const Napi::Value& value, const char* what, uint32_t limit);
  /** Keeps the first error. */
  void fail(const std::string& text) {
    if (error_.empty()) error_ = text;
  }

 private:
  Napi::Array array(const Napi::Value& value, const char* what);
  Prefix prefix(const Napi::Value& value, const char* what);
  std::vector<Prefix> prefixes(const Napi::Value& value, const char* what);
  std::vector<uint32_t> numbers(const Napi::Value& value, const char* what);
  AddressMap addressMap(const Napi::Value& value, const char* what);
  PrefixTable admissionTable(const Napi::Value& value, const char* what);
  PeerChange peer(const Napi::Value& value);
  RouteChange route(const Napi::Value& value);

  std::string error_;
};

Napi::Value eventValue(Napi::Env env, const Event& event, Engine& engine);

}  // namespace hawser
