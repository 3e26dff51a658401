/*
 * The command line: decodes arguments, calls the service, prints the answer. Answers go to stdout,
 * everything else to stderr. Decides nothing about infrastructure.
 */
#pragma once

#include "model/diagnostic.h"
#include "model/plan.h"
#include "render/render.h"
#include "service/verbs.h"

#include <stdbool.h>

/* Exit codes (DESIGN section 17). */
enum {
    EXIT_DONE = 0,
    EXIT_ERROR = 1,
    EXIT_CHANGES_PENDING = 2,
    EXIT_APPROVAL_NEEDED = 3,
    EXIT_PARTLY = 4,
    EXIT_CANCELLED = 130
};

struct cli;

/* The door's own options, by the commands that have them; a verb's come from its row. */
enum option_group {
    OPTIONS_ALL = 1 << 0,
    OPTIONS_PLAN = 1 << 1,    /* of a plan that is shown */
    OPTIONS_APPLY = 1 << 2,   /* of what is approved and carried out */
    OPTIONS_APPROVE = 1 << 4, /* of what only needs a yes */
    OPTIONS_FILE = 1 << 5,    /* of what writes a file */
    OPTIONS_VIEW = 1 << 6,    /* which part of a plan is shown */
    OPTIONS_REVEAL = 1 << 7,  /* of what may show a secret */
    OPTIONS_SHOW = 1 << 8,    /* of what does */
    OPTIONS_CONFIRM = 1 << 9, /* of what needs the deployment's name */
    OPTIONS_DOOR = 1 << 10,   /* another door, which opens services itself */
    OPTIONS_SERVE = 1 << 11,  /* of what listens */
    OPTIONS_SIGN = 1 << 12,   /* of what may be signed */
    OPTIONS_HIDDEN = 1 << 3,  /* between our own processes */
    OPTIONS_GRAPH = 1 << 13   /* of what draws a plan */
};

/* A command: a verb with a name of its own, or several verbs in a row. */
struct command {
    const char *name;    /* one word, or two, or a word and the option that makes it this one */
    const char *verb;    /* what it asks first: its words and options are that verb's; NULL: none */
    unsigned int groups; /* of the door's options */
    CO_FN int (*run)(struct cli *cli); /* NULL: asks the verb and prints its answer */
    void (*render)(const struct value *answer, struct strbuf *buffer); /* that answer for people */
    const char *summary;                                               /* NULL: the verb's */
};
const struct command *command_find(const char *name);
size_t command_count(void);
const struct command *command_at(size_t index);

/* Where and whom to serve; all borrowed, NULL where nothing was said. */
struct cli_place {
    const char *listen, *tokens, *certificate, *key, *host;
};

/* What was typed, taken apart. Strings are borrowed from the arguments. */
struct options {
    const struct command *command;
    const char *home;
    const char *site;
    const char *output;  /* -o FILE */
    const char *confirm; /* --confirm NAME */
    const char *approve; /* --approve HASH */
    const char *expires; /* --expires DURATION */
    const char *revert;  /* --revert NUMBERS */
    const char *type;    /* --type TYPE */
    const char *only;    /* --only KINDS */
    const char *page;    /* --page N */
    struct cli_place place;
    struct value *input; /* owned map: the verb's input */
    const char *word;    /* the first word after the command, or NULL */
    char **rest;         /* all that follows "twin exec", options or not */
    size_t n_rest;
    bool json;
    bool yes;
    bool trace;
    bool detailed_exit_code;
    bool resume;
    bool rollback;
    bool dot;
    bool all;
    bool reveal;
    bool shows_it; /* --yes-show-it */
    bool help;
};

/* The doors beside this one, which it opens when it is asked to. */
struct cli_doors {
    CO_FN int (*serve_stdio)(struct loop *loop, const struct service_options *options,
                             struct error *err);
    CO_FN int (*serve_web)(struct loop *loop, const struct service_options *options,
                           const struct cli_place *place, struct error *err);
};

/* The whole program: takes the arguments apart, carries the command out, returns its exit code. */
int cli_main(int argc, char **argv, const struct cli_doors *doors);

/* One run of the program. */
struct cli {
    const struct cli_doors *doors;
    struct loop *loop;
    struct service *service; /* NULL until cli_open() */
    struct options options;
    const char *document_path; /* borrowed: is written with document_text once a plan is approved;
                                  NULL: nothing is */
    const char *document_text; /* borrowed */
    const char *line;          /* the whole command as it was typed, for the history */
    bool is_terminal;          /* stdin and stderr are one: somebody can be asked */
    bool has_reading_line;     /* stderr has a line that is to be written over */
    int n_interrupts;          /* since a run was about to be started */
};

/* --- arguments.c: words and options --- */
/*
 * Takes the arguments of the program apart. When they mean nothing it says so on stderr and returns
 * EXIT_ERROR. options->command is NULL when there is none, and then help is asked for.
 */
int options_parse(char **arguments, int count, struct options *ret_options);
void options_done(struct options *options);
/* Help: of all, or of the command. */
void options_print_help(const struct command *command);

/* Opens the service; prints what is wrong and returns EXIT_ERROR when it cannot be. */
int cli_open(struct cli *cli);

/*
 * Asks a verb with what was typed; prints what it says of the document, and why it failed. Returns
 * 0 or an exit code. The caller frees the answer with verb_answer_done() either way.
 */
CO_FN int cli_ask(struct cli *cli, const char *verb, struct verb_answer *ret_answer);
/* The same, and tells sink (may be NULL) of what goes on meanwhile. */
CO_FN int cli_ask_and_hear(struct cli *cli, const char *verb, event_sink sink, void *argument,
                           struct verb_answer *ret_answer);
/* The same with the first plan that a verb gives. */
CO_FN int cli_ask_plan(struct cli *cli, const char *verb, struct plan **ret_plan);

/* Prints an error with its advice, and returns the exit code it stands for. err is emptied. */
int cli_fail(struct cli *cli, struct error *err);
/* Prints a value as one JSON document on stdout. */
void cli_print_json(const struct value *value);
/* The same with --json, else what render makes of it. */
void cli_print_answer(struct cli *cli, const struct value *answer,
                      void (*render)(const struct value *answer, struct strbuf *buffer));

/* Prints a text; where somebody reads it at a terminal and it is longer than that, with a pager
 * (pager.c). */
CO_FN void cli_print_long(struct cli *cli, const char *text);

/* Replaces a document's file, which keeps its mode, or makes it (edit-commands.c). */
int cli_write_document(const char *path, const char *text, struct error *err);

/* --- follow.c: a run's progress --- */
/* Follows a run to its end, printing as it goes; returns the exit code. */
CO_FN int cli_follow(struct cli *cli, const char *run_id);
/* The same where the run's plan is at hand. */
CO_FN int cli_follow_plan(struct cli *cli, const char *run_id, const struct plan *plan);

/* Gets the yes that a plan needs, from the options or from the terminal. Returns 0 or an exit
 * code. */
CO_FN int cli_approve(struct cli *cli, const struct plan *plan);
/* Shows a plan, gets its approval, carries it out; returns the exit code. */
/* Shows the part of a plan that was asked for (plan-commands.c). Returns 0 or an exit code. */
CO_FN int cli_show_plan(struct cli *cli, const struct plan *plan);
CO_FN int cli_carry_out(struct cli *cli, const struct plan *plan);
/* Whether --approve names this hash: a prefix of it that is long enough to mean it. */
bool cli_is_approved(const struct options *options, const char *hash);
/* One line from the terminal after a question on stderr, without its end; false at the end of
 * input. */
bool cli_ask_person(const char *question, char *ret_answer, size_t size);

/* --- drift-command.c, log-command.c, plan-commands.c, run-commands.c, state-commands.c,
 * top-command.c: one function for each command that is more than one verb and its answer; returns
 * the exit code --- */
CO_FN int command_expand(struct cli *cli);
CO_FN int command_plan(struct cli *cli);
CO_FN int command_approve(struct cli *cli);
CO_FN int command_key_new(struct cli *cli);
CO_FN int command_graph(struct cli *cli);
/* Exits with EXIT_CHANGES_PENDING when something differs. */
CO_FN int command_drift(struct cli *cli);
CO_FN int command_up(struct cli *cli);
CO_FN int command_apply(struct cli *cli);
CO_FN int command_edit(struct cli *cli);
CO_FN int command_pull(struct cli *cli);
CO_FN int command_logs(struct cli *cli);
CO_FN int command_resume(struct cli *cli);
CO_FN int command_unlock(struct cli *cli);
CO_FN int command_give_up(struct cli *cli);
CO_FN int command_run_wait(struct cli *cli);
CO_FN int command_run_cancel(struct cli *cli);
CO_FN int command_run_exec(struct cli *cli);
CO_FN int command_mcp(struct cli *cli);
CO_FN int command_serve(struct cli *cli);
CO_FN int command_twin_stop(struct cli *cli);
CO_FN int command_twin_doctor(struct cli *cli);
CO_FN int command_twin_top(struct cli *cli);
CO_FN int command_twin_exec(struct cli *cli);
CO_FN int command_secret_reveal(struct cli *cli);
CO_FN int command_output(struct cli *cli);
CO_FN int command_show(struct cli *cli);
CO_FN int command_audit_verify(struct cli *cli);
CO_FN int command_state_check(struct cli *cli);
CO_FN int command_state_repair(struct cli *cli);
CO_FN int command_state_restore(struct cli *cli);
void render_snapshot(const struct value *answer, struct strbuf *buffer);
