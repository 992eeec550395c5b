// Deliberate bugs, to prove that the fuzzers find them. Builds with -DHAWSER_PLANT_BUGS contain them all, inactive; the harness
// activates one by its number. Other builds have none. Numbers 9 to 12 are in TypeScript (test/fuzz/script/plant.ts).
//
// 1 a UDP checksum of zero is updated as if it were one       5 the last segment is cut by its remainder
// 2 later fragments are treated as if they had a transport    6 the replay window forgets the block it just entered
// 3 the quoted header's checksum is left out of ICMP's sum    7 the length of a transport message isn't checked
// 4 segments keep the first one's sequence number             8 merging ignores that sequence numbers have a gap
// 13 merging ignores the identification of packets that may be fragmented
#pragma once

#ifdef HAWSER_PLANT_BUGS
namespace hawser {
inline int plantedBug = 0;
}
#define HAWSER_PLANTED(number) (::hawser::plantedBug == (number))
#else
#define HAWSER_PLANTED(number) false
#endif
