/* What the files that compile the firewall's rules share. For ruleset*.c only. */
#pragma once

#include "base/strbuf.h"
#include "twin/ruleset.h"

#define TABLE "inet parley"

/* One thing in the table that has a name. */
struct part {
    char *name;
    const char *hook; /* static; of a chain that the kernel calls itself, else "" */
    char *content;    /* what defines it; parts of one name are equal when this is */
};

struct part_list {
    struct part *parts; /* owned */
    size_t n_parts, capacity;
};

/* The elements of one set, none of which contains another, sorted. */
struct elements {
    char *set;
    struct machine_subnet *subnets;
    size_t n_subnets;
};

struct ruleset {
    struct part_list counters;
    struct part_list sets;
    struct part_list chains;
    struct elements *elements; /* owned; of the sets that are aliases */
    size_t n_elements, elements_capacity;
    bool has_kept; /* rules of a machine that is no more */
};

void part_list_add(struct part_list *list, char *take_name, char *take_content);
/* One that the kernel calls itself, with what says when. */
void part_list_add_base(struct part_list *list, const char *name, const char *hook,
                        char *take_content);

/* Appends "10.0.0.0/24". */
void ruleset_write_subnet(struct strbuf *text, struct machine_subnet subnet);
/* Appends the match of an endpoint, as source ("saddr") or destination ("daddr"). */
void ruleset_write_endpoint(struct strbuf *text, const char *field,
                            const struct machine_endpoint *endpoint);
/* Appends the match of a protocol and of its ports, for each list of ports that is not empty. */
void ruleset_write_protocol(struct strbuf *text, enum machine_protocol protocol,
                            const struct machine_port_list *source,
                            const struct machine_port_list *destination);

/* Appends the match of interfaces, as "iifname" or "oifname"; none are all. */
void ruleset_write_interfaces(struct strbuf *text, const char *field,
                              const struct machine_interface_list *interfaces);

/* Port forwards and outbound rules (ruleset-nat.c). */
void ruleset_compile_nat(struct ruleset *ruleset, const struct machine *machine);
/* Appends the rules of the chain "incoming" that let in what port forwards lead inside. */
void ruleset_write_let_in(const struct machine *machine, struct strbuf *incoming);
/* The rules of the machine and the chains that hold their order (ruleset-rules.c); held as of
 * ruleset_compile(). */
void ruleset_compile_rules(struct ruleset *ruleset, const struct machine *machine,
                           const struct machine *held);
