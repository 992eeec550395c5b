#include <cstdio>

#include "tests.h"

int main() {
  const struct {
    const char* name;
    void (*run)();
  } tests[] = {{"checksum", testChecksum},   {"prefixes", testPrefixes}, {"replay", testReplay}, {"aead", testAead},
               {"endpoints", testEndpoints}, {"icmp", testIcmp},         {"mss", testMss},       {"translate", testTranslate},
               {"events", testEvents}, {"seal fails", testSealFails},
               {"events of peers", testEventsOfPeers}, {"refused merge", testRefusedMerge},
               {"handshake flood", testHandshakeFlood}, {"peer outlived", testPeerOutlived}, {"ecn", testEcn}, {"source routes", testSourceRoutes},       {"split", testSplit},         {"merge", testMerge}};
  for (const auto& test : tests) {
    std::printf("%s\n", test.name);
    std::fflush(stdout);
    test.run();
  }
  std::printf("all is as it should be\n");
}
