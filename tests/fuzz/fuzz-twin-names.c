/* Questions for names: whatever comes, the answer is none, or a whole message that repeats it. */
#include "fuzz/fuzz.h"
#include "twin/names.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    static const struct machine_network network = {.name = "net", .prefix = 24};
    static struct machine_host hosts[] = {
        {.name = "web-0", .resource = "web", .network = &network, .ip = 0x0a01000b},
        {.name = "web-1", .resource = "web", .network = &network, .ip = 0x0a01000c, .index = 1},
        {.name = "a.b", .network = &network, .ip = 0x0a01000d}};
    struct machine_host *list[] = {&hosts[0], &hosts[1], &hosts[2]};
    struct machine machine = {.hosts = list, .n_hosts = 3};
    uint8_t answer[NAMES_MESSAGE];
    if (size > NAMES_MESSAGE)
        size = NAMES_MESSAGE;
    size_t answered = names_answer(&machine, text, size, (unsigned int)size, answer);
    MUST(answered <= NAMES_MESSAGE && (answered == 0 || answered >= 12));
    if (answered == 0)
        return 0;
    MUST(memcmp(answer, text, 2) == 0 && (answer[2] & 0x80));
    MUST(answer[6] == 0 && memcmp(answer + 8, "\0\0\0\0", 4) == 0);
    MUST((answer[3] & 15) == 0 || answer[7] == 0);
    return 0;
}
