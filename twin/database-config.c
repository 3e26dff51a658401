#include "twin/database-config.h"

#include "base/digest.h"

#include <string.h>

/* A value between single quotes: a backslash before what would end it, as libpq wants it. */
static void write_quoted(struct strbuf *out, const char *text)
{
    strbuf_add_char(out, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, *text);
    }
    strbuf_add_char(out, '\'');
}

/* A line of postgresql.conf, which doubles what would end the value. */
static void write_setting(struct strbuf *out, const char *name, const char *value)
{
    strbuf_addf(out, "%s = '", name);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            strbuf_add_char(out, *value);
        strbuf_add_char(out, *value);
    }
    strbuf_add(out, "'\n");
}

/*
 * Never below what initdb wrote into the control file (connections 100, senders 10, workers 8,
 * locks 64): a replica refuses to start then.
 */
static void write_limits(struct strbuf *out)
{
    strbuf_add(out, "max_connections = 100\n"
                    "max_wal_senders = 10\n"
                    "max_replication_slots = 16\n"
                    "shared_buffers = 32MB\n"
                    "huge_pages = off\n");
}

static void write_replication(struct strbuf *out)
{
    strbuf_add(out, "wal_level = replica\n"
                    "hot_standby = on\n"
                    "wal_log_hints = on\n"
                    "wal_keep_size = 64MB\n"
                    /* After a crash and a rewind one call instead of one for each file. */
                    "recovery_init_sync_method = syncfs\n"
                    "max_slot_wal_keep_size = 1GB\n"
                    "wal_receiver_timeout = 3s\n"
                    "wal_sender_timeout = 3s\n"
                    "wal_retrieve_retry_interval = 200ms\n"
                    "tcp_keepalives_idle = 2\n"
                    "tcp_keepalives_interval = 1\n"
                    "tcp_keepalives_count = 3\n");
}

/* Whether a segment is archived can change with a reload only while the mode is on. */
static void write_archive(struct strbuf *out, const char *archive)
{
    strbuf_add(out, "archive_mode = on\n");
    if (!archive) {
        write_setting(out, "archive_command", "/bin/true");
        return;
    }
    CLEANUP(mem_freep)
    char *command = string_format("if [ -f %1$s/%%f ]; then cmp -s %%p %1$s/%%f; "
                                  "else cp %%p %1$s/.%%f.new && mv %1$s/.%%f.new %1$s/%%f; fi",
                                  archive);
    write_setting(out, "archive_command", command);
}

void database_write_settings(struct strbuf *out, const struct database_config *config)
{
    const struct machine_database *database = config->database;
    CLEANUP(mem_freep) char *slot = database_slot(config->host->name);
    CLEANUP(strbuf_done) struct strbuf primary = {0};
    /* The virtual address comes and goes: only a server that listens on all has it at once. */
    write_setting(out, "listen_addresses", database->ip ? "*" : config->host->address);
    strbuf_addf(out, "port = %u\n", database->port);
    write_setting(out, "unix_socket_directories", config->socket_folder);
    strbuf_add(out, "unix_socket_permissions = 0700\n");
    write_setting(out, "hba_file", config->hba_file);
    write_setting(out, "ident_file", config->ident_file);
    write_setting(out, "cluster_name", config->host->name);
    strbuf_add(out, "password_encryption = scram-sha-256\n");
    write_limits(out);
    write_replication(out);
    write_archive(out, config->archive);
    if (config->host != config->primary) {
        database_write_primary(&primary, config);
        write_setting(out, "primary_conninfo", strbuf_text(&primary));
        write_setting(out, "primary_slot_name", slot);
    }
    strbuf_add(out, "log_line_prefix = '%m [%p] '\n");
}

void database_write_hba(struct strbuf *out, const struct database_config *config)
{
    const struct machine_database *database = config->database;
    char address[MACHINE_ADDRESS_SIZE];
    strbuf_add(out, "local all " DATABASE_SUPERUSER " peer map=supervisor\n");
    for (size_t i = 0; i < database->n_hosts; i++)
        /* To the superuser's database comes pg_rewind, to read files. */
        if (database->hosts[i] != config->host)
            strbuf_addf(out,
                        "host replication," DATABASE_SUPERUSER " " DATABASE_REPLICATION_ROLE
                        " %s/32 scram-sha-256\n",
                        database->hosts[i]->address);
    for (size_t i = 0; i < database->n_clients; i++) {
        machine_address_to_text(database->clients[i].base, address);
        strbuf_addf(out,
                    "host " DATABASE_NAME " " DATABASE_APPLICATION_ROLE " %s/%u scram-sha-256\n",
                    address, database->clients[i].prefix);
    }
}

void database_write_ident(struct strbuf *out, const struct database_config *config)
{
    strbuf_addf(out, "supervisor \"%s\" " DATABASE_SUPERUSER "\n", config->system_user);
}

/* A client that waits for an answer has nothing unacknowledged: only keepalives tell it that the
 * other side is gone. */
static const char patience[] = "connect_timeout=2 tcp_user_timeout=2000 keepalives_idle=1 "
                               "keepalives_interval=1 keepalives_count=2 sslmode=disable "
                               "gssencmode=disable";

void database_write_primary(struct strbuf *out, const struct database_config *config)
{
    CLEANUP(mem_freep) char *slot = database_slot(config->host->name);
    strbuf_addf(out,
                "host=%s port=%u user=" DATABASE_REPLICATION_ROLE " application_name=%s passfile=",
                config->primary->address, config->database->port, slot);
    write_quoted(out, config->password_file);
    strbuf_addf(out, " %s", patience);
}

void database_write_access(struct strbuf *out, const struct machine_database *database,
                           const struct machine_host *primary, const char *password)
{
    strbuf_addf(out,
                "hostaddr=%s port=%u dbname=" DATABASE_NAME " user=" DATABASE_APPLICATION_ROLE
                " password=",
                database->ip ? database->address : primary->address, database->port);
    write_quoted(out, password);
    strbuf_addf(out, " %s\n", patience);
}

/* PostgreSQL cuts longer names off without a word. */
enum { SLOT_LENGTH = 63 };

char *database_slot(const char *host)
{
    char digest[DIGEST_HEX_SIZE];
    digest_hex(host, strlen(host), digest);
    char *slot =
        strlen(host) <= SLOT_LENGTH ? string_copy(host) : string_format("%.54s_%.8s", host, digest);
    for (char *dash = strchr(slot, '-'); dash; dash = strchr(dash, '-'))
        *dash = '_';
    return slot;
}

char *database_standby_names(const struct machine_database *database,
                             const struct machine_host *primary, const struct string_list *fenced)
{
    struct strbuf names = {0};
    for (size_t i = 0; i < database->n_hosts; i++) {
        if (database->hosts[i] == primary || string_list_has(fenced, database->hosts[i]->name))
            continue;
        CLEANUP(mem_freep) char *slot = database_slot(database->hosts[i]->name);
        strbuf_addf(&names, "%s%s", names.length ? ", " : "ANY 1 (", slot);
    }
    if (names.length)
        strbuf_add_char(&names, ')');
    return strbuf_take(&names);
}
