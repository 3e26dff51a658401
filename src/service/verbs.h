/*
 * The verbs: all that a door can ask for, as one table. A row says what the verb is called, what it
 * takes, how much it may change and what carries it out. Doors derive from it what they need:
 * the command line its words and options, --help and --json; other doors their tools and roles.
 *
 * Input and answer are values: the door makes the one from what it was given and turns the other
 * into text. verb_run() checks the input against the row before anything else happens.
 */
#pragma once

#include "service/service.h"

/* What a verb may do, from the least to the most. */
enum verb_effect {
    VERB_READ,       /* looks; changes nothing but what is remembered of having looked */
    VERB_PLAN,       /* stores a plan */
    VERB_APPROVE,    /* says yes to one */
    VERB_APPLY,      /* starts or goes on with what changes systems */
    VERB_STOP,       /* stops it */
    VERB_ADMINISTER, /* is about Parley on this machine, not about what it made */
    VERB_OWN,        /* the same, and stays with the user to whom the state belongs */
    VERB_EFFECT_COUNT
};
const char *verb_effect_to_string(enum verb_effect effect);

enum input_kind {
    INPUT_TEXT,
    INPUT_FLAG,
    INPUT_LIST, /* of texts: all words that are left, or an option that may be repeated */
    INPUT_MAP,  /* of texts; an option that may be repeated as NAME=VALUE */
    INPUT_KIND_COUNT
};

/* One field of a verb's input. */
struct verb_input {
    const char *name; /* NULL: the end of the list */
    enum input_kind kind;
    bool is_required;
    const char *option; /* "--var"; NULL: a word, in the order of the list */
    const char *shown;  /* "FILE": how help calls the value; with neither, no command line has it */
    const char *summary; /* what it is, for people and for models */
};
enum { VERB_MAX_INPUTS = 8 };

/* What is asked for; who asks is the service's caller. All borrowed. */
struct verb_call {
    const struct value *input; /* a map */
    event_sink sink;           /* is told of what goes on meanwhile; may be NULL */
    void *argument;
};

/* What a verb gives. Zero-initialise it; verb_answer_done() frees it. */
struct verb_answer {
    struct value *value; /* owned; NULL on failure, and where there is a plan */
    struct plan *plan;   /* owned; of the verbs that give one */
    /* Owned {document, before, after, writes}: the edit that a plan was made from, and whether the
     * door is to write after into the file document once it is approved; NULL without one. */
    struct value *edit;
    struct diagnostics diagnostics; /* faults of a document, or notes about it; also on failure */
    char *text; /* owned: the document's text, for the excerpts in those; may be NULL */
};
void verb_answer_done(struct verb_answer *answer);
/* The answer as a value, a plan as plan_to_value() has it. Borrowed. */
const struct value *verb_answer_value(struct verb_answer *answer);
/* [{severity, code, summary, detail, help, file, line, column}]. The caller unrefs it. */
struct value *diagnostics_to_value(const struct diagnostics *diagnostics);

struct verb {
    const char *name;    /* NOUN_VERB */
    const char *summary; /* one line */
    enum verb_effect effect;
    struct verb_input inputs[VERB_MAX_INPUTS];
    CO_FN int (*run)(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err);
};

/* NULL when there is none of that name. */
const struct verb *verb_find(const char *name);
size_t verb_count(void);
const struct verb *verb_at(size_t index);
size_t verb_count_inputs(const struct verb *verb);

/* The input as a JSON Schema (2020-12) of an object. The caller unrefs it. */
struct value *verb_input_schema(const struct verb *verb);

/*
 * Whether a caller may ask a verb at all: by its roles, and by the caps of the site. ERROR_DENIED
 * says which role is missing, or which line of the site refuses it. Doors do not offer what fails.
 */
int verb_check_allowed(const struct verb *verb, const struct caller *caller,
                       const struct site *site, struct error *err);

/* The same of the service's caller. A refusal is in the audit chain, unless it was to read, as one
 * of what the door calls it. */
CO_FN int verb_check(struct service *service, const struct verb *verb, const char *asked,
                     struct error *err);

/*
 * Asks a verb. ERROR_INVALID names every field that is missing, unknown or of another kind;
 * ERROR_DENIED when the caller may not do that, which the audit chain then has, unless it was to
 * read; nothing was done.
 */
CO_FN int verb_run(struct service *service, const struct verb *verb, const struct verb_call *call,
                   struct verb_answer *ret_answer, struct error *err);

/* --- type-verbs.c: the catalog as values --- */
/* [{name, description}] of all types. */
struct value *service_list_types(const struct service *service);
/* {name, description, phase, properties: [...], outputs: [...], drivers: [...]}; ERROR_NOT_FOUND
 * names the nearest type. */
int service_show_type(const struct service *service, const char *name, struct value **ret_type,
                      struct error *err);
