// Bugs on purpose: -DHAWSER_PLANT_BUG=n makes the n-th one, so that the fuzzers can be seen to find it.
//
// 1 a UDP checksum of zero is updated as if it were one       5 the last segment is cut by its remainder
// 2 later fragments are treated as if they had a transport    6 the replay window forgets the block it just entered
// 3 the quoted header's checksum is left out of ICMP's sum    7 the length of a transport message isn't checked
// 4 segments keep the first one's sequence number             8 merging ignores that sequence numbers have a gap
#pragma once

#ifdef HAWSER_PLANT_BUG
#define HAWSER_PLANTED(number) (HAWSER_PLANT_BUG == (number))
#else
#define HAWSER_PLANTED(number) false
#endif
