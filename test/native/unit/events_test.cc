// What JavaScript is told: nothing that is left in the queue is ever forgotten.
#include "../../../native/src/events.h"

#include "reference.h"
#include "tests.h"

using namespace hawser;

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
  // Just as many as the limit are left: whoever counts them would think that more wait, or that none do.
  events.clear();
  CHECK(!queue.drain(events, 45));
  CHECK(events.size() == 45);
  CHECK(queue.push(wish) && notified == 2);
  for (int at = 0; at < 7; at++) CHECK(queue.push(wish));
  CHECK(!queue.push(wish) && notified == 2);
}
