// What the load and the origin are started with (LD_PRELOAD) so that they do not fall asleep while they are asked.
// See src/awake.rs.
#define _GNU_SOURCE
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// A program for which nothing has come for so long sleeps as it wanted to, and hears signals again.
static const long long PATIENCE_MS = 100;

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int ask(int epoll, struct epoll_event *events, int most, int timeout) {
    return syscall(SYS_epoll_pwait, epoll, events, most, timeout, NULL, 8);
}

// In place of that of the C library: asks again and again, and lets others of the processor run in between.
int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    int found = ask(epoll, events, most, 0);
    if (found != 0 || timeout == 0)
        return found;
    long long began = now_ms(), waited = 0;
    while (waited < PATIENCE_MS && (timeout < 0 || waited < timeout)) {
        sched_yield();
        found = ask(epoll, events, most, 0);
        if (found != 0)
            return found;
        waited = now_ms() - began;
    }
    if (timeout < 0)
        return ask(epoll, events, most, -1);
    return ask(epoll, events, most, waited < timeout ? timeout - (int)waited : 0);
}
