// Events for JavaScript: every queued event is announced.
#include "../../../native/src/events.h"

#include "packet_path.h"
#include "tests.h"

using namespace hawser;
using namespace reference;

void testEvents() {
  unsigned notified = 0;
  EventQueue queue(400, 8, [&] { notified++; });
  Event handshake, wish;
  wish.type = EventType::HANDSHAKE_WANTED;
  for (int at = 0; at < 300; at++) CHECK(queue.push(handshake));
  CHECK(queue.push(wish));
  CHECK(notified == 1);
  std::vector<Event> events;
  CHECK(queue.drain(events, 256));
  CHECK(events.size() == 256 && events[0].type == EventType::HANDSHAKE_WANTED);
  // Exactly as many events as the limit remain: a count alone could not tell whether more are waiting.
  events.clear();
  CHECK(!queue.drain(events, 45));
  CHECK(events.size() == 45);
  CHECK(queue.push(wish) && notified == 2);
  for (int at = 0; at < 7; at++) CHECK(queue.push(wish));
  CHECK(!queue.push(wish) && notified == 2);
}

void testEventsOfPeers() {
  PacketPath path(*chooseAead({"openssl-evp"}));
  std::vector<Event> events;
  const auto drain = [&] {
    events.clear();
    path.core.events.drain(events, 256);
    return events.size();
  };
  const auto moveTo = [&](const char* where) { path.worker->roam(*path.peer, *parseEndpoint(where)); };
  // A peer that requests handshakes for minutes, while JavaScript is busy, does not fill the queue.
  for (int second = 0; second < 200; second++) {
    path.peer->wantedAt = 0;
    path.worker->want(*path.peer, Wanted::NO_SESSION);
  }
  CHECK(drain() == 1 && events[0].type == EventType::HANDSHAKE_WANTED);
  // If the queue was full, the next move is announced.
  Event filler;
  filler.type = EventType::PROBE_ANSWERED;
  while (path.core.events.push(filler)) continue;
  moveTo("192.0.2.1:1");
  CHECK(drain() == 64);
  moveTo("192.0.2.1:2");
  CHECK(drain() == 1 && events[0].type == EventType::ENDPOINT_CHANGED);
  moveTo("192.0.2.1:3");
  CHECK(drain() == 0);
}
