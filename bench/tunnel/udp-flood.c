/*
 * Sends UDP datagrams at a rate, many per system call, and counts those that arrive: iperf3 sends one per call, and would
 * itself be the bottleneck of the measurement.
 *
 *   udp-flood receive ADDRESS PORT
 *   udp-flood send ADDRESS PORT SIZE RATE MILLISECONDS      prints: sent received seconds
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, LONGEST = 2048, TICK = 200000, SECOND = 1000000000 };

/* Header of each datagram; a query has no padding and asks how many datagrams of its run arrived. */
struct header {
  uint32_t run, question;
};

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * (int64_t)SECOND + time.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void receive(int file) {
  static char data[BATCH][LONGEST];
  struct mmsghdr messages[BATCH];
  struct iovec vectors[BATCH];
  struct sockaddr_in sources[BATCH];
  uint32_t run = 0;
  uint64_t count = 0;
  for (;;) {
    for (int at = 0; at < BATCH; at++) {
      vectors[at] = (struct iovec){data[at], LONGEST};
      messages[at].msg_hdr = (struct msghdr){.msg_name = &sources[at], .msg_namelen = sizeof sources[at], .msg_iov = &vectors[at], .msg_iovlen = 1};
    }
    const int came = recvmmsg(file, messages, BATCH, MSG_WAITFORONE, NULL);
    for (int at = 0; at < came; at++) {
      struct header header;
      if (messages[at].msg_len < sizeof header) continue;
      memcpy(&header, data[at], sizeof header);
      if (header.run != run) {
        run = header.run;
        count = 0;
      }
      if (header.question == 0)
        count++;
      else
        sendto(file, &count, sizeof count, 0, (struct sockaddr *)&sources[at], sizeof sources[at]);
    }
  }
}

static int send_at(int file, size_t size, int64_t rate, int64_t milliseconds) {
  static char data[LONGEST];
  struct mmsghdr messages[BATCH];
  struct iovec vector = {data, size};
  struct header header = {(uint32_t)now() | 1, 0};
  memcpy(data, &header, sizeof header);
  for (int at = 0; at < BATCH; at++)
    messages[at].msg_hdr = (struct msghdr){.msg_iov = &vector, .msg_iovlen = 1};
  const int64_t begun = now(), end = begun + milliseconds * 1000000;
  int64_t sent = 0, time = begun;
  for (; time < end; time = now()) {
    int64_t due = (time - begun) * rate / SECOND - sent;
    /* Do not catch up with a burst after a delay of this machine. */
    if (due > 8 * BATCH) {
      sent += due - 8 * BATCH;
      due = 8 * BATCH;
    }
    while (due > 0) {
      const int count = sendmmsg(file, messages, due < BATCH ? (unsigned)due : BATCH, 0);
      if (count <= 0) break;
      sent += count;
      due -= count;
    }
    const struct timespec pause = {0, TICK};
    nanosleep(&pause, NULL);
  }
  const double seconds = (double)(time - begun) / SECOND;
  header.question = 1;
  uint64_t received = 0;
  for (int attempt = 0; attempt < 20; attempt++) {
    usleep(50000);
    send(file, &header, sizeof header, 0);
    struct pollfd wait = {file, POLLIN, 0};
    if (poll(&wait, 1, 200) == 1 && recv(file, &received, sizeof received, 0) == sizeof received) break;
  }
  printf("%lld %llu %f\n", (long long)sent, (unsigned long long)received, seconds);
  return 0;
}

int main(int count, char **values) {
  if (count < 4) return 2;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(values[3]))};
  if (inet_pton(AF_INET, values[2], &address.sin_addr) != 1) return 2;
  const int file = socket(AF_INET, SOCK_DGRAM, 0);
  const int room = 4 << 20;
  setsockopt(file, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  setsockopt(file, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  if (strcmp(values[1], "receive") == 0) {
    if (bind(file, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
    receive(file);
  }
  if (count < 7 || connect(file, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
  const size_t size = (size_t)atoi(values[4]);
  if (size < sizeof(struct header) || size > LONGEST) return 2;
  return send_at(file, size, atoll(values[5]), atoll(values[6]));
}
