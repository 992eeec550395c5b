// All tests of the core; each ends the program at the first failure.
#pragma once

void testTranslate();
void testMss();
void testSplit();
void testMerge();
void testPrefixes();
void testReplay();
void testChecksum();
void testAead();
void testEndpoints();
void testIcmp();
void testEvents();
void testSealFails();
void testEventsOfPeers();
void testRefusedMerge();
void testHandshakeFlood();
void testPeerOutlived();
void testEcn();
void testSourceRoutes();
