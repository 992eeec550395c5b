// The fast structures against slow and simple ones, with random data.
#include <algorithm>
#include <set>

#include "../../../native/src/aead.h"
#include "../../../native/src/checksum.h"
#include "../../../native/src/endpoint.h"
#include "../../../native/src/icmp.h"
#include "../../../native/src/prefix_table.h"
#include "../../../native/src/replay.h"
#include "../../../native/src/translate.h"
#include "reference.h"
#include "tests.h"

using namespace hawser;
using namespace reference;

void testPrefixes() {
  Random random(5);
  struct Entry {
    Prefix prefix;
    uint32_t value;
  };
  for (int round = 0; round < 20; round++) {
    PrefixMap map;
    std::vector<Entry> slow;
    for (int step = 0; step < 400; step++) {
      Prefix prefix;
      prefix.six = random.chance(50);
      // Few distinct bits, so that prefixes nest and overlap.
      prefix.length = static_cast<uint8_t>(random.below(prefix.six ? 129 : 33));
      if (prefix.six)
        prefix.sixteen = ((static_cast<Address6>(random.next() & 0x8000000000000003) << 64) | (random.next() & 7)) &
                         prefixMask<Address6>(prefix.length);
      else
        prefix.four = static_cast<Address4>(random.next() & 0xc0000007) & prefixMask<Address4>(prefix.length);
      const auto found = std::find_if(slow.begin(), slow.end(), [&](const Entry& entry) { return entry.prefix == prefix; });
      if (random.chance(25)) {
        CHECK(map.remove(prefix) == (found != slow.end()));
        if (found != slow.end()) slow.erase(found);
      } else {
        const auto value = static_cast<uint32_t>(random.below(1000));
        map.set(prefix, value);
        if (found != slow.end())
          found->value = value;
        else
          slow.push_back({prefix, value});
      }
      if (step % 20 != 0) continue;
      const PrefixTable table = map.build();
      CHECK(map.size() == slow.size());
      for (int probe = 0; probe < 50; probe++) {
        const bool six = random.chance(50);
        uint8_t address[16];
        storeAddress6(address, (static_cast<Address6>(random.next() & 0x8000000000000003) << 64) | (random.next() & 7));
        if (!six) storeAddress4(address, static_cast<Address4>(random.next() & 0xc0000007));
        uint32_t expected = NO_VALUE;
        int longest = -1;
        for (const Entry& entry : slow) {
          if (entry.prefix.six != six || entry.prefix.length <= longest) continue;
          const bool covers = six ? (loadAddress6(address) & prefixMask<Address6>(entry.prefix.length)) == entry.prefix.sixteen
                                  : (loadAddress4(address) & prefixMask<Address4>(entry.prefix.length)) == entry.prefix.four;
          if (!covers) continue;
          longest = entry.prefix.length;
          expected = entry.value;
        }
        CHECK(table.find(six, address) == expected);
      }
    }
  }
  CHECK(!parsePrefix("10.0.0.1/8") && !parsePrefix("10.0.0.0") && !parsePrefix("10.0.0.0/33") && !parsePrefix("::/129"));
  CHECK(!parsePrefix("10.0.0.0/") && !parsePrefix("/8") && !parsePrefix("10.0.0.0/8 ") && parsePrefix("::/0")->six);
}

void testReplay() {
  Random random(6);
  for (int round = 0; round < 60; round++) {
    const auto window = std::make_unique<ReplayWindow>();
    std::set<uint64_t> seen;
    uint64_t greatest = 0;
    uint64_t base = random.chance(30) ? (uint64_t{1} << 40) : 0;
    for (int step = 0; step < 4000; step++) {
      uint64_t counter;
      if (random.chance(60))
        counter = base + greatest % (uint64_t{1} << 40) + random.below(4);
      else if (random.chance(90))
        counter = greatest > 10000 ? greatest - random.below(10000) : random.below(greatest + 2);
      else
        counter = greatest + random.below(20000);
      base = 0;
      const bool late = counter < greatest && greatest - counter >= ReplayWindow::SIZE;
      const bool expected = !late && !seen.contains(counter);
      CHECK(window->accept(counter) == expected);
      seen.insert(counter);
      greatest = std::max(greatest, counter);
    }
  }
  const auto window = std::make_unique<ReplayWindow>();
  CHECK(window->accept(0) && !window->accept(0));
  CHECK(window->accept(ReplayWindow::SIZE - 1) && !window->accept(0));
  CHECK(window->accept(ReplayWindow::SIZE + 5) && window->accept(6) && !window->accept(5) && !window->accept(6));
}

void testChecksum() {
  Random random(7);
  for (int round = 0; round < 3000; round++) {
    Bytes data(random.below(2000));
    for (uint8_t& byte : data) byte = random.chance(20) ? 0xff : static_cast<uint8_t>(random.next());
    const uint16_t fast = __builtin_bswap16(foldSum(sumBytes(data.data(), data.size())));
    CHECK(fast == slowSum(data.data(), data.size()));
    Bytes copy(data.size() + 1, 0xa5);
    CHECK(foldSum(copyAndSum(copy.data(), data.data(), data.size())) == __builtin_bswap16(fast));
    CHECK(std::equal(data.begin(), data.end(), copy.begin()) && copy.back() == 0xa5);
  }
}

void testAead() {
  unsigned passed = 0;
  for (const AeadLibrary& library : aeadLibraries()) {
    const AeadMeasurement measured = measureAead(library);
    std::printf("%s: %.0f MB/s%s\n", library.name, measured.megabytesPerSecond,
                measured.megabytesPerSecond == 0 ? " (not here)" : "");
    CHECK(measured.passed || measured.megabytesPerSecond == 0);
    if (measured.passed) passed++;
  }
  CHECK(passed > 0);
}

void testEndpoints() {
  for (const char* const text : {"192.0.2.1:51820", "[2001:db8::1]:1", "[fe80::1%3]:65535"}) {
    const auto endpoint = parseEndpoint(text);
    CHECK(endpoint && formatEndpoint(*endpoint) == text);
    EndpointCell cell;
    cell.store(*endpoint);
    CHECK(cell.load().sameRemote(*endpoint) && formatEndpoint(cell.load()) == text);
  }
  for (const char* const text : {"", ":", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[::1:80", "::1:80",
                                 "[fe80::1%eth0]:1", "[]:1", "host:1"})
    CHECK(!parseEndpoint(text));
}

void testSourceRoutes() {
  Random random(9);
  // Options of an IPv4 header, padded to words, and whether the packet is accepted.
  const struct {
    std::vector<uint8_t> options;
    bool taken;
  } cases[] = {
      {{}, true},
      {{0, 131, 7, 4}, true},                             // after the end of the list
      {{1, 1, 1, 1}, true},                               // no operation
      {{148, 4, 0, 0}, true},                             // router alert
      {{7, 7, 4, 10, 9, 0, 1, 0}, true},                  // record route
      {{131, 7, 4, 10, 9, 0, 1, 0}, false},               // loose source route
      {{137, 7, 4, 10, 9, 0, 1, 0}, false},               // strict source route
      {{1, 131, 7, 8, 10, 9, 0, 1}, false},               // after another option, and used up
      {{148, 4, 0, 0, 137, 7, 4, 10, 9, 0, 1, 0}, false},
      {{148, 0, 0, 0}, false},                            // invalid lengths
      {{148, 1, 0, 0}, false},
      {{148, 5, 0, 0}, false},
      {{1, 1, 1, 148}, false},
  };
  for (const auto& each : cases) {
    PacketKind kind;
    kind.six = false;
    kind.payload = 64;
    uint8_t source[16] = {10, 1}, destination[16] = {10, 2};
    Bytes packet = makePacket(random, kind, source, destination);
    packet.insert(packet.begin() + 20, each.options.begin(), each.options.end());
    packet[0] = static_cast<uint8_t>(0x40 + 5 + each.options.size() / 4);
    putBig16(&packet[2], static_cast<uint16_t>(packet.size()));
    PacketInfo info;
    CHECK(parsePacket(packet.data(), packet.size(), info) == each.taken);
    CHECK(!each.taken || info.transport == 20 + each.options.size());
    // In an ICMP error's quote such a packet is not forwarded.
    CHECK(parseQuoted(packet.data(), packet.size(), info));
  }
}

void testIcmp() {
  Random random(8);
  for (int round = 0; round < 2000; round++) {
    PacketKind kind;
    kind.six = random.chance(50);
    kind.payload = random.below(3000);
    uint8_t source[16] = {10, 1}, destination[16] = {10, 2};
    const Bytes packet = makePacket(random, kind, source, destination);
    PacketInfo info;
    CHECK(parsePacket(packet.data(), packet.size(), info));
    uint8_t error[LONGEST_ICMP];
    const IcmpError type = random.chance(50) ? IcmpError::TOO_BIG : IcmpError::TIME_EXCEEDED;
    const size_t length = buildIcmpError(error, type, packet.data(), info, 1300);
    CHECK(length > 0 && length <= (kind.six ? 1280u : 576u) && checksumsRight(error, length));
    CHECK(parsePacket(error, length, info) && isIcmpError(error, info));
    CHECK(std::memcmp(error + info.sourceOffset(), destination, info.addressLength()) == 0);
    CHECK(std::memcmp(error + info.transport + 8, packet.data(), length - info.transport - 8) == 0);
    uint8_t again[LONGEST_ICMP];
    CHECK(buildIcmpError(again, type, error, info, 1300) == 0);
  }
}
