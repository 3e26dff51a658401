#include "base/strbuf.h"
#include "base/text.h"
#include "harness.h"
#include "twin/database-config.h"

static const struct machine_host hosts[] = {{.name = "shop-db-0", .address = "10.2.0.11"},
                                            {.name = "shop-db-1", .address = "10.2.0.12"},
                                            {.name = "shop-db-2", .address = "10.2.0.13"}};
static const struct machine_host *all_hosts[] = {&hosts[0], &hosts[1], &hosts[2]};
static struct machine_subnet clients[] = {{0x0a010000, 24}, {0x0a030010, 32}};

static struct machine_database database(void)
{
    return (struct machine_database){.name = "shop-db",
                                     .resource = "uid-db",
                                     .hosts = all_hosts,
                                     .n_hosts = 3,
                                     .ip = 0x0a020064,
                                     .address = "10.2.0.100",
                                     .port = 5432,
                                     .is_synchronous = true,
                                     .clients = clients,
                                     .n_clients = 2};
}

static struct database_config config_of(const struct machine_database *cluster, size_t index)
{
    return (struct database_config){.database = cluster,
                                    .host = &hosts[index],
                                    .primary = &hosts[0],
                                    .socket_folder = "/run/twin/database/shop-db-0",
                                    .hba_file = "/run/twin/database-config/x.hba",
                                    .ident_file = "/run/twin/database-config/x.ident",
                                    .password_file = "/run/twin/database-config/x.password",
                                    .system_user = "somebody"};
}

TEST(only_members_replicate_and_only_allowed_subnets_get_in_all_by_scram)
{
    struct machine_database cluster = database();
    struct database_config config = config_of(&cluster, 1);
    struct strbuf text = {0};
    database_write_hba(&text, &config);
    CHECK_TEXT(strbuf_text(&text),
               "local all postgres peer map=supervisor\n"
               "host replication,postgres replicator 10.2.0.11/32 scram-sha-256\n"
               "host replication,postgres replicator 10.2.0.13/32 scram-sha-256\n"
               "host application application 10.1.0.0/24 scram-sha-256\n"
               "host application application 10.3.0.16/32 scram-sha-256\n");
    CHECK(!strstr(strbuf_text(&text), "trust"));
    strbuf_done(&text);
    database_write_ident(&text, &config);
    CHECK_TEXT(strbuf_text(&text), "supervisor \"somebody\" postgres\n");
    strbuf_done(&text);
}

TEST(a_replica_has_the_settings_of_the_facts_and_follows_the_primary)
{
    struct machine_database cluster = database();
    struct database_config config = config_of(&cluster, 1);
    struct strbuf text = {0};
    database_write_settings(&text, &config);
    static const char *const lines[] = {
        "listen_addresses = '*'\n",
        "port = 5432\n",
        "unix_socket_directories = '/run/twin/database/shop-db-0'\n",
        "password_encryption = scram-sha-256\n",
        "wal_level = replica\n",
        "hot_standby = on\n",
        "wal_log_hints = on\n",
        "archive_mode = on\n",
        "archive_command = '/bin/true'\n",
        "wal_keep_size = 64MB\n",
        "wal_receiver_timeout = 3s\n",
        "wal_sender_timeout = 3s\n",
        "wal_retrieve_retry_interval = 200ms\n",
        "tcp_keepalives_idle = 2\ntcp_keepalives_interval = 1\ntcp_keepalives_count = 3\n",
        "cluster_name = 'shop-db-1'\n",
        "primary_slot_name = 'shop_db_1'\n",
        "primary_conninfo = 'host=10.2.0.11 port=5432 user=replicator application_name=shop_db_1 ",
        " passfile=''/run/twin/database-config/x.password'' connect_timeout=2 ",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        CHECK(strstr(strbuf_text(&text), lines[i]));
    strbuf_done(&text);
    config = config_of(&cluster, 0);
    config.archive = "/run/twin/database/archive-x";
    database_write_settings(&text, &config);
    CHECK(!strstr(strbuf_text(&text), "primary_"));
    CHECK(strstr(strbuf_text(&text),
                 "archive_command = 'if [ -f /run/twin/database/archive-x/%f ]; then cmp -s %p "
                 "/run/twin/database/archive-x/%f; else cp %p /run/twin/database/archive-x/.%f.new "
                 "&& mv /run/twin/database/archive-x/.%f.new /run/twin/database/archive-x/%f; "
                 "fi'\n"));
    strbuf_done(&text);
}

/* PostgreSQL 15, initdb: 100 connections, 10 senders, 8 workers, 64 locks. A replica does not start
 * with less than its primary had. */
TEST(no_limit_is_below_what_initdb_wrote)
{
    struct machine_database cluster = database();
    struct database_config config = config_of(&cluster, 0);
    struct strbuf text = {0};
    database_write_settings(&text, &config);
    CHECK(strstr(strbuf_text(&text), "max_connections = 100\n"));
    CHECK(strstr(strbuf_text(&text), "max_wal_senders = 10\n"));
    CHECK(!strstr(strbuf_text(&text), "max_worker_processes"));
    CHECK(!strstr(strbuf_text(&text), "max_locks_per_transaction"));
    strbuf_done(&text);
}

TEST(workloads_reach_the_virtual_address_and_notice_when_it_is_dead)
{
    struct machine_database cluster = database();
    struct strbuf text = {0};
    database_write_access(&text, &cluster, &hosts[0], "pass'word");
    CHECK_TEXT(strbuf_text(&text),
               "hostaddr=10.2.0.100 port=5432 dbname=application user=application "
               "password='pass\\'word' connect_timeout=2 tcp_user_timeout=2000 keepalives_idle=1 "
               "keepalives_interval=1 keepalives_count=2 sslmode=disable gssencmode=disable\n");
    strbuf_done(&text);
    cluster.ip = 0;
    database_write_access(&text, &cluster, &hosts[1], "x");
    CHECK(text_starts_with(strbuf_text(&text), "hostaddr=10.2.0.12 "));
    strbuf_done(&text);
}

TEST(any_one_replica_confirms)
{
    struct machine_database cluster = database();
    struct string_list fenced = {0};
    CLEANUP(mem_freep) char *of_first = database_standby_names(&cluster, &hosts[0], &fenced);
    CLEANUP(mem_freep) char *of_second = database_standby_names(&cluster, &hosts[1], &fenced);
    CHECK_TEXT(of_first, "ANY 1 (shop_db_1, shop_db_2)");
    CHECK_TEXT(of_second, "ANY 1 (shop_db_0, shop_db_2)");
    cluster.n_hosts = 1;
    CLEANUP(mem_freep) char *of_one = database_standby_names(&cluster, &hosts[0], &fenced);
    CHECK_TEXT(of_one, "");
    cluster.n_hosts = 3;
    string_list_add(&fenced, "shop-db-1");
    CLEANUP(mem_freep) char *of_left = database_standby_names(&cluster, &hosts[0], &fenced);
    CHECK_TEXT(of_left, "ANY 1 (shop_db_2)");
    string_list_done(&fenced);
}

TEST(a_slot_has_a_name_that_postgresql_takes)
{
    char name[100];
    memset(name, 'a', sizeof(name));
    name[63] = '\0';
    struct machine_host host = {.name = name};
    CLEANUP(mem_freep) char *whole = database_slot(host.name);
    CHECK_TEXT(whole, name);
    name[63] = 'a';
    name[65] = '\0';
    CLEANUP(mem_freep) char *cut = database_slot(host.name);
    name[64] = 'b';
    CLEANUP(mem_freep) char *other = database_slot(host.name);
    CHECK(strlen(cut) == 63 && strlen(other) == 63);
    CHECK(!text_equal(cut, other));
    CHECK(strspn(other, "abcdefghijklmnopqrstuvwxyz0123456789_") == 63);
}
