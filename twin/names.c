/* Answers to questions for names, as RFC 1035 wants them. */
#include "twin/names.h"

#include "base/strbuf.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_SIZE = 12, NAME_SIZE = 256, RECORD_SIZE = 16, MAX_ADDRESSES = 256 };
enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_ANY = 255, CLASS_INTERNET = 1 };
enum { CODE_OK, CODE_FORMAT, CODE_FAILURE, CODE_UNKNOWN, CODE_NOT_SERVED, CODE_REFUSED };

/* "7.0.51.198.in-addr.arpa" */
#define REVERSE ".in-addr.arpa"

struct question {
    char name[NAME_SIZE]; /* in small letters, without the last dot */
    unsigned int type, class;
    size_t end; /* of its bytes in the message */
};

struct answers {
    uint32_t ips[MAX_ADDRESSES];
    size_t n_ips;
    bool is_known; /* there is such a name, although it may have no address of the asked kind */
};

static unsigned int read_number(const uint8_t *bytes)
{
    return (unsigned int)bytes[0] << 8 | bytes[1];
}

static void write_number(uint8_t *bytes, unsigned int number)
{
    bytes[0] = (uint8_t)(number >> 8);
    bytes[1] = (uint8_t)number;
}

static char small_letter(uint8_t c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Reads labels, which questions do not shorten; false when they are not what they should be. */
static bool read_question(const uint8_t *message, size_t size, struct question *ret_question)
{
    struct question question = {.end = HEADER_SIZE};
    size_t length = 0;
    for (;;) {
        size_t label = question.end < size ? message[question.end] : NAME_SIZE;
        if (label > 63 || question.end + 1 + label > size || length + label + 1 >= NAME_SIZE)
            return false;
        question.end++;
        if (label == 0)
            break;
        if (length > 0)
            question.name[length++] = '.';
        for (size_t i = 0; i < label; i++) {
            if (message[question.end] < '!' || message[question.end] > '~')
                return false;
            question.name[length++] = small_letter(message[question.end++]);
        }
    }
    if (question.end + 4 > size)
        return false;
    question.type = read_number(message + question.end);
    question.class = read_number(message + question.end + 2);
    question.end += 4;
    *ret_question = question;
    return true;
}

/* --- What a name stands for --- */

static void add(struct answers *answers, uint32_t ip)
{
    answers->is_known = true;
    for (size_t i = 0; i < answers->n_ips; i++) {
        if (answers->ips[i] == ip)
            return;
    }
    if (answers->n_ips < MAX_ADDRESSES)
        answers->ips[answers->n_ips++] = ip;
}

/* Whether a host is one of the numbered ones of a name: web-0 of web. */
static bool is_one_of(const struct machine_host *host, const char *name)
{
    char numbered[NAME_SIZE + 16];
    snprintf(numbered, sizeof(numbered), "%s-%u", name, host->index);
    return host->resource && text_equal(host->name, numbered);
}

static void find_hosts(const struct machine *machine, const char *name, struct answers *answers)
{
    const struct machine_host *host = machine_find_host(machine, name);
    if (host)
        add(answers, host->ip);
    for (size_t i = 0; i < machine->n_databases; i++) {
        if (text_equal(machine->databases[i]->name, name))
            add(answers, machine->databases[i]->ip);
    }
    bool is_one = answers->is_known;
    for (size_t i = 0; i < machine->n_hosts && !is_one; i++) {
        if (is_one_of(machine->hosts[i], name))
            add(answers, machine->hosts[i]->ip);
    }
}

static void find_services(const struct machine *machine, const char *name, struct answers *answers)
{
    for (size_t i = 0; i < machine->n_frontends; i++) {
        if (text_equal(machine->frontends[i]->name, name))
            add(answers, machine->frontends[i]->host->ip);
    }
    for (size_t i = 0; i < machine->n_monitors; i++) {
        if (text_equal(machine->monitors[i]->name, name))
            add(answers, machine->monitors[i]->host->ip);
    }
    for (size_t i = 0; i < machine->n_workloads && answers->n_ips == 0; i++) {
        const struct machine_workload *workload = machine->workloads[i];
        for (size_t k = 0; k < workload->n_hosts && text_equal(workload->name, name); k++)
            add(answers, workload->hosts[k]->ip);
    }
}

/* Whether a domain of a certificate is meant: "*" stands for one label. */
static bool is_domain(const char *domain, const char *name)
{
    if (!text_starts_with(domain, "*."))
        return text_equal(domain, name);
    const char *rest = strchr(name, '.');
    return rest && rest > name && text_equal(domain + 1, rest);
}

static void find_domains(const struct machine *machine, const char *name, struct answers *answers)
{
    for (size_t i = 0; i < machine->n_frontends; i++) {
        const struct machine_frontend *frontend = machine->frontends[i];
        for (size_t k = 0; frontend->certificate && k < frontend->certificate->n_domains; k++) {
            if (is_domain(frontend->certificate->domains[k], name))
                add(answers, frontend->host->ip);
        }
    }
}

static void find_name(const struct machine *machine, const char *name, struct answers *answers)
{
    size_t length = strlen(name), suffix = strlen("." NAMES_DOMAIN);
    CLEANUP(mem_freep) char *bare = string_copy(name);
    if (length > suffix && text_equal(name + length - suffix, "." NAMES_DOMAIN))
        bare[length - suffix] = '\0';
    find_hosts(machine, bare, answers);
    if (!answers->is_known)
        find_services(machine, bare, answers);
    if (!answers->is_known)
        find_domains(machine, name, answers);
    answers->is_known = answers->is_known || text_equal(name, NAMES_DOMAIN);
}

/* The host of "7.0.0.10.in-addr.arpa", or NULL. */
static const struct machine_host *find_reverse(const struct machine *machine, const char *name)
{
    uint32_t ip = 0;
    for (unsigned int i = 0; i < 4; i++) {
        size_t length = strcspn(name, ".");
        CLEANUP(mem_freep) char *part = string_copy_n(name, length);
        int64_t number;
        if (!text_to_integer(part, &number) || number < 0 || number > 255)
            return NULL;
        ip |= (uint32_t)number << (8 * i);
        name += length;
        name += i < 3 && *name == '.';
    }
    if (!text_equal(name, REVERSE))
        return NULL;
    for (size_t i = 0; i < machine->n_hosts; i++) {
        if (machine->hosts[i]->ip == ip)
            return machine->hosts[i];
    }
    return NULL;
}

/* --- The message --- */

/* Begins a record about the name that was asked for; nobody keeps it, since hosts come and go. */
static uint8_t *begin_record(uint8_t *at, unsigned int type, size_t size)
{
    write_number(at, 0xc000 | HEADER_SIZE);
    write_number(at + 2, type);
    write_number(at + 4, CLASS_INTERNET);
    memset(at + 6, 0, 4);
    write_number(at + 10, (unsigned int)size);
    return at + 12;
}

static size_t write_addresses(const struct answers *answers, unsigned int turn, uint8_t *message,
                              size_t size)
{
    size_t n = 0;
    for (; n < answers->n_ips && size + RECORD_SIZE <= NAMES_MESSAGE; n++) {
        uint32_t ip = answers->ips[(turn + n) % answers->n_ips];
        uint8_t *data = begin_record(message + size, TYPE_A, 4);
        write_number(data, ip >> 16);
        write_number(data + 2, ip & 0xffff);
        size += RECORD_SIZE;
    }
    write_number(message + 6, (unsigned int)n);
    return size;
}

static size_t write_pointer(const char *host, uint8_t *message, size_t size)
{
    CLEANUP(mem_freep) char *name = string_format("%s." NAMES_DOMAIN, host);
    size_t length = strlen(name) + 2;
    if (size + 12 + length > NAMES_MESSAGE)
        return size;
    uint8_t *at = begin_record(message + size, TYPE_PTR, length);
    for (const char *label = name; *label;) {
        size_t n = strcspn(label, ".");
        *at++ = (uint8_t)n;
        memcpy(at, label, n);
        at += n;
        label += n + (label[n] == '.');
    }
    *at = 0;
    write_number(message + 6, 1);
    return size + 12 + length;
}

/* The answer begins with the question's own bytes, and says that we know best. */
static size_t begin_answer(const uint8_t *question, size_t size, unsigned int code,
                           uint8_t *ret_answer)
{
    memcpy(ret_answer, question, size);
    ret_answer[2] = (uint8_t)(0x84 | (question[2] & 0x79));
    ret_answer[3] = (uint8_t)code;
    write_number(ret_answer + 4, size > HEADER_SIZE);
    memset(ret_answer + 6, 0, 6);
    return size;
}

size_t names_answer(const struct machine *machine, const uint8_t *message, size_t size,
                    unsigned int turn, uint8_t ret_answer[NAMES_MESSAGE])
{
    struct question question;
    struct answers answers = {0};
    /* An answer to an answer would be answered again. */
    if (size < HEADER_SIZE || (message[2] & 0x80))
        return 0;
    if (message[2] & 0x78)
        return begin_answer(message, HEADER_SIZE, CODE_NOT_SERVED, ret_answer);
    if (read_number(message + 4) != 1 || !read_question(message, size, &question))
        return begin_answer(message, HEADER_SIZE, CODE_FORMAT, ret_answer);
    if (question.class != CLASS_INTERNET && question.class != TYPE_ANY)
        return begin_answer(message, question.end, CODE_REFUSED, ret_answer);
    const struct machine_host *host = find_reverse(machine, question.name);
    if (!host)
        find_name(machine, question.name, &answers);
    bool is_known = host || answers.is_known;
    size_t end = begin_answer(message, question.end, is_known ? CODE_OK : CODE_UNKNOWN, ret_answer);
    if (host && (question.type == TYPE_PTR || question.type == TYPE_ANY))
        return write_pointer(host->name, ret_answer, end);
    if (answers.n_ips > 0 && (question.type == TYPE_A || question.type == TYPE_ANY))
        return write_addresses(&answers, turn, ret_answer, end);
    return end;
}
