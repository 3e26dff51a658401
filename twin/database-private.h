/* What the files of the databases share. For database*.c only. */
#pragma once

#include "model/resource.h"
#include "twin/database-member.h"
#include "twin/database.h"

struct keeping;
struct template_job;

/* A primary and the replicas that stream from it. */
struct cluster {
    struct databases *module;
    char *resource;                        /* owned */
    const struct machine_database *wanted; /* borrowed from the module's machine */
    const struct machine_host *primary;    /* one of its hosts; NULL before it was chosen */
    struct string_list fenced;             /* names of hosts that are kept out */
    struct database_member **members;      /* owned */
    size_t n_members;
    size_t members_capacity;
    char *application_password; /* owned, as the next two; wiped in the end */
    char *given_password;       /* the digest of that, when it was given */
    char *replication_password;
    char *application_verifier; /* owned; NULL but while the primary is prepared, as the next */
    char *replication_verifier;
    char *archive;           /* owned; a folder */
    bool is_prepared;        /* roles and slots of this primary are as wanted */
    struct keeping *keeping; /* of data that was made now; owned, NULL: nothing is to be kept */
    uint32_t moved_ip;       /* the virtual address that stands somewhere; 0: none */
};

struct databases {
    struct twin *twin;
    struct database_programs programs;
    char *data_folder;        /* owned; the children's */
    char *config_folder;      /* owned; ours */
    char *secret_folder;      /* owned; ours, children do not see it */
    char *given_folder;       /* owned; texts that the driver gives, by uid and digest */
    struct machine *machine;  /* a reference */
    struct cluster **items;   /* owned */
    struct template_job *job; /* owned; NULL: no template was made in this life */
    size_t n_spares_wanted;   /* by the largest cluster that was made since the last job */
    size_t n_items;
    size_t capacity;
    bool is_busy;       /* somebody makes something so; see database_begin() */
    size_t n_impatient; /* actions that wait for that to end */
    struct gate freed;  /* opened when it has */
};

/* --- database-cluster.c: its members, and how it becomes what is wanted --- */
/* NULL when there is none on that host. */
struct database_member *database_find_member(const struct cluster *cluster, const char *host);
struct database_member *database_primary(const struct cluster *cluster);
/* NULL when the member is not wanted any more. */
const struct machine_host *database_host_of(const struct cluster *cluster,
                                            const struct database_member *member);
/* What is in its files; *config, which borrows from the cluster, says it as well. */
int database_configure(struct cluster *cluster, struct database_member *member,
                       struct database_config *config, bool *ret_changed, struct error *err);
/* Waits until the member runs with what it is to be. */
CO_FN int database_bring_up(struct cluster *cluster, struct database_member *member,
                            struct error *err);
CO_FN int database_converge_cluster(struct cluster *cluster, struct error *err);
/* Its data stays. */
CO_FN void database_cluster_free(struct cluster *cluster);
/* The one at that place of the list. Its data goes when its resource is gone. */
CO_FN void database_drop_cluster(struct databases *module, size_t index);

/* Waits until it is ready; not for as long, and with ERROR_CANCELLED, when an action waits. */
CO_FN int database_await_ready(struct cluster *cluster, struct database_member *member,
                               struct error *err);

/* --- database-action.c: what is asked for and is no configuration --- */
/* See struct module_ops. */
CO_FN int database_act(void *argument, const struct module_action *action, struct error *err);
/* Whether that server must not run, until it is let in again. */
bool database_is_fenced(const struct cluster *cluster, const char *host);
/* Reads who is. */
void database_load_fenced(struct cluster *cluster);
/* How many are to follow the primary. */
size_t database_count_replicas(const struct cluster *cluster);
/* Makes the primary one, where it still follows the one that was. */
CO_FN int database_ensure_promoted(struct cluster *cluster, struct error *err);

/* --- database-access.c: who may come in, and by which password --- */
/* Reads the cluster's passwords, or makes them. */
int database_ensure_passwords(struct cluster *cluster, struct error *err);
void database_forget_passwords(struct cluster *cluster);
/* Where something small about the cluster is kept: a "primary", a password. The caller frees it. */
char *database_secret_path(const struct cluster *cluster, const char *kind);
/* All of that, and what lets workloads in. */
void database_remove_access(const struct cluster *cluster);
/* Runs a statement on the primary as superuser; the parameter may be NULL. */
CO_FN int database_run_statement(struct cluster *cluster, const char *statement,
                                 const char *parameter, struct error *err);
/* Of both passwords. It takes ten milliseconds, for which a time is best when others are waited
 * for. */
int database_make_verifiers(struct cluster *cluster, struct error *err);
void database_forget_verifiers(struct cluster *cluster);
/* Makes roles and slots as wanted. */
CO_FN int database_prepare_primary(struct cluster *cluster, struct error *err);
/* Lets clients find the primary. */
CO_FN int database_publish(struct cluster *cluster, struct error *err);
/* As that, of a primary that is prepared, and makes the database where it is missing. */
CO_FN int database_serve(struct cluster *cluster, struct error *err);

/* --- database-birth.c: data that nothing had written before --- */
struct database_maker database_maker_of(const struct databases *module);
/* Does nothing where no backup is wanted. */
int database_make_archive(struct cluster *cluster, struct error *err);
/* Data that is nowhere is made; data that is missing where it was is not made up. */
CO_FN int database_ensure_data(struct cluster *cluster, struct error *err);
/* Begins to make durable what was made, where that is not under way and there is any. */
void database_begin_keeping(struct cluster *cluster);
/* Waits until what was made is durable. Data that could not be kept is tried again. */
CO_FN int database_await_kept(struct cluster *cluster, struct error *err);
/* Waits for the attempt that is under way only. */
CO_FN int database_end_keeping(struct cluster *cluster, struct error *err);

/* --- database-replication.c --- */
/* Serves, see database_serve(), and beside that brings up what follows the primary, and waits until
 * it streams. */
CO_FN int database_converge_replicas(struct cluster *cluster, struct error *err);
/* Says, in an event and in status, that and why the data of a server is about to be replaced by a
 * copy of its primary's. */
void database_note_copy(struct cluster *cluster, struct database_member *member, const char *why);
size_t database_count_streaming(const struct cluster *cluster);
/* Whether that server does, as of the last look. */
bool database_is_streaming(const struct cluster *cluster, const char *host);
/* Whether the primary sends that one what it lacks. */
bool database_is_catching_up(const struct cluster *cluster, const char *host);
/* For which replicas commits are to wait; "" when for none. The caller frees it. */
char *database_wanted_standby_names(const struct cluster *cluster);
/* Whether commits of the primary are confirmed by a replica, as of the last look. */
bool database_has_synchronous(const struct cluster *cluster);
/*
 * Makes commits wait for replicas as wanted. Where they wait already, or shall not any more, that
 * is at once, so that none waits for a replica that is about to go; else it is when one streams.
 */
CO_FN int database_adjust_standby_names(struct cluster *cluster, bool one_streams,
                                        struct error *err);
CO_FN int database_await_synchronous(struct cluster *cluster, struct error *err);

/* --- database-report.c --- */
/* See struct module_ops. */
void database_report(void *argument, const char *resource, struct value_builder *status,
                     struct value_builder *outputs);

/* --- database.c: the module --- */
/* NULL when there is none of that resource. */
struct cluster *database_find_cluster(const struct databases *module, const char *resource);
/* One at a time changes the clusters; an action does not wait for what may take long. */
CO_FN void database_begin(struct databases *module, bool is_action);
void database_end(struct databases *module);
/* Whether an action waits: then whoever waits for something else is to end. */
bool database_must_hurry(const struct databases *module);
