/* parley approve, and parley key new: what a person says yes with. */
#include "auth/signing.h"
#include "base/memory.h"
#include "base/text.h"
#include "catalog/literal.h"
#include "cli/cli.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { MAX_PASSPHRASE = 512, MIN_PASSPHRASE = 8, SECOND = 1000000 };

/* Asks without showing what is typed. False when nothing was, or too much. */
static bool ask_secretly(const char *question, char ret_answer[MAX_PASSPHRASE])
{
    struct termios shown;
    if (tcgetattr(STDIN_FILENO, &shown) < 0)
        return false;
    struct termios hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) < 0)
        return false;
    bool is_given = cli_ask_person(question, ret_answer, MAX_PASSPHRASE);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fputs("\n", stderr);
    size_t length = is_given ? strlen(ret_answer) : 0;
    return length > 0 && length < MAX_PASSPHRASE - 1;
}

static int need_terminal(struct cli *cli, struct error *err)
{
    if (cli->is_terminal)
        return 0;
    return error_set(err, ERROR_APPROVAL_NEEDED,
                     "the passphrase is asked for at a terminal, and here is none; nothing was "
                     "changed");
}

/* --- parley key new --- */

static int make_key(struct cli *cli, char passphrase[MAX_PASSPHRASE], char again[MAX_PASSPHRASE],
                    char **ret_public, struct error *err)
{
    if (!cli->options.word)
        return error_set(err, ERROR_INVALID, "the key's file is missing");
    int r = need_terminal(cli, err);
    if (r < 0)
        return r;
    if (!ask_secretly("Passphrase for the new key: ", passphrase) ||
        !ask_secretly("The same again: ", again))
        return error_set(err, ERROR_CANCELLED, "there is no key without a passphrase");
    if (!text_equal(passphrase, again))
        return error_set(err, ERROR_INVALID, "that was another one; no key was made");
    if (strlen(passphrase) < MIN_PASSPHRASE)
        return error_set(err, ERROR_INVALID, "a passphrase has %d characters or more",
                         MIN_PASSPHRASE);
    return signing_make_key(cli->options.word, passphrase, ret_public, err);
}

int command_key_new(struct cli *cli)
{
    struct error err = {0};
    char passphrase[MAX_PASSPHRASE] = "";
    char again[MAX_PASSPHRASE] = "";
    CLEANUP(mem_freep) char *public = NULL;
    int r = make_key(cli, passphrase, again, &public, &err);
    sodium_memzero(passphrase, sizeof(passphrase));
    sodium_memzero(again, sizeof(again));
    if (r < 0)
        return cli_fail(cli, &err);
    printf("- { principal: \"%s\", key: \"%s\", roles: [approver] }\n",
           cli->service->caller.principal, public);
    fprintf(stderr,
            "The key is in %s. Who may write the site puts the line above under "
            "\"approvers:\".\n",
            cli->options.word);
    return EXIT_DONE;
}

/* --- parley approve --- */

static int read_lasts(const struct cli *cli, int64_t *ret_lasts, struct error *err)
{
    const char *text = cli->options.expires;
    CLEANUP(value_unrefp) struct value *duration = text ? literal_duration(text) : NULL;
    if (text && !duration)
        return error_set(err, ERROR_INVALID, "--expires %s is no duration such as 15m", text);
    *ret_lasts = duration ? (int64_t)(literal_duration_seconds(value_text(duration)) * SECOND) : 0;
    return 0;
}

/* The passphrase is the yes; what destroys in production wants the deployment's name besides. */
static int sign(struct cli *cli, const struct plan *plan, char passphrase[MAX_PASSPHRASE],
                struct error *err)
{
    char name[MAX_PASSPHRASE] = "";
    CLEANUP(value_unrefp) struct value *signature = NULL;
    struct signer signer = {.key_file = cli->options.place.key, .passphrase = passphrase};
    int r = read_lasts(cli, &signer.lasts, err);
    if (r == 0)
        r = need_terminal(cli, err);
    if (r < 0)
        return r;
    if (service_needs_name(plan) && !cli->options.confirm &&
        !cli_ask_person("\nThis destroys what belongs to a production deployment.\n"
                        "Type its name to approve: ",
                        name, sizeof(name)))
        return error_set(err, ERROR_APPROVAL_NEEDED, "not approved; nothing was changed");
    struct consent consent = {.is_seen = true,
                              .name = cli->options.confirm ? cli->options.confirm : name};
    if (!ask_secretly("Passphrase of the key, to approve this plan: ", passphrase))
        return error_set(err, ERROR_APPROVAL_NEEDED, "not approved; nothing was changed");
    r = service_sign(cli->service, plan, &signer, &signature, err);
    consent.signature = signature;
    return r < 0 ? r : service_approve(cli->service, plan, &consent, err);
}

int command_approve(struct cli *cli)
{
    struct error err = {0};
    char passphrase[MAX_PASSPHRASE] = "";
    CLEANUP(plan_freep) struct plan *plan = NULL;
    int r = cli_ask_plan(cli, "plan_show", &plan);
    if (r != 0 || (r = cli_show_plan(cli, plan)) != 0)
        return r;
    if (!cli->options.place.key) {
        r = cli_approve(cli, plan);
    } else {
        r = sign(cli, plan, passphrase, &err) < 0 ? cli_fail(cli, &err) : 0;
        sodium_memzero(passphrase, sizeof(passphrase));
    }
    if (r == 0)
        fprintf(stderr, "Approved; carry it out with \"parley apply %.12s\".\n", plan->hash);
    return r;
}
