/*
 * The command line: decodes arguments, calls the service, prints the answer. Answers go to stdout,
 * everything else to stderr. Decides nothing about infrastructure.
 */
#pragma once

#include "model/diagnostic.h"
#include "model/plan.h"
#include "service/service.h"

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

/* What was typed, taken apart. Strings are borrowed from the arguments. */
struct options {
    const char *home;
    const char *site;
    const char *output;   /* -o FILE */
    const char *confirm;  /* --confirm NAME */
    const char *approve;  /* --approve HASH */
    const char *words[8]; /* what is no option, after the command */
    size_t n_words;
    char **rest; /* all that follows "twin exec", options or not */
    size_t n_rest;
    struct value_builder variables; /* --var NAME=VALUE */
    bool json;
    bool yes;
    bool trace;
    bool dot;
    bool no_refresh;
    bool detailed_exit_code;
    bool resume;
    bool help;
};

/* One run of the program. */
struct cli {
    struct loop *loop;
    struct service *service; /* NULL until cli_open() */
    struct options options;
    const char *line; /* the whole command as it was typed, for the history */
    bool is_terminal; /* stdin and stderr are one: somebody can be asked */
};

/* Opens the service; prints what is wrong and returns EXIT_ERROR when it cannot be. */
int cli_open(struct cli *cli);

/* Prints an error with its advice, and returns the exit code it stands for. err is emptied. */
int cli_fail(struct cli *cli, struct error *err);
/* Prints diagnostics with excerpts of the text they are about (may be NULL), on stderr. */
void cli_print_diagnostics(const struct diagnostics *diagnostics, const char *file,
                           const char *text);
/* Prints a value as one JSON document on stdout. */
void cli_print_json(const struct value *value);

/* --- render.c: values as text for people. Pure. --- */
void render_plan(const struct plan *plan, struct strbuf *buffer);
/* Stages in the order in which people read them: a destroy goes from the last to the first. */
enum stage stage_in_turn(const struct plan *plan, int turn);
void render_duration(double seconds, struct strbuf *buffer);
void render_graph(const struct plan *plan, struct strbuf *buffer);
void render_status(const struct value *status, struct strbuf *buffer);
void render_deployments(const struct value *deployments, struct strbuf *buffer);
void render_history(const struct value *history, struct strbuf *buffer);
void render_runs(const struct value *runs, struct strbuf *buffer);
void render_type(const struct resource_type *type, struct strbuf *buffer);

/* --- follow.c: a run's progress --- */
/* Follows a run to its end, printing as it goes; returns the exit code. */
CO_FN int cli_follow(struct cli *cli, const char *run_id);

/* --- plan-commands.c, query-commands.c, twin-commands.c: one function for each command; returns
 * the exit code ---
 */
CO_FN int command_validate(struct cli *cli);
CO_FN int command_expand(struct cli *cli);
CO_FN int command_types(struct cli *cli);
CO_FN int command_plan(struct cli *cli);
CO_FN int command_graph(struct cli *cli);
CO_FN int command_apply(struct cli *cli);
CO_FN int command_up(struct cli *cli);
CO_FN int command_destroy(struct cli *cli);
CO_FN int command_resume(struct cli *cli);
CO_FN int command_status(struct cli *cli);
CO_FN int command_show(struct cli *cli);
CO_FN int command_output(struct cli *cli);
CO_FN int command_history(struct cli *cli);
CO_FN int command_run(struct cli *cli);
CO_FN int command_twin(struct cli *cli);
