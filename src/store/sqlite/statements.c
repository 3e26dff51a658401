#include "store/sqlite/statements.h"

#define DEPLOYMENT_LIST                                                                    \
    "uid, name, environment, incarnation, is_destroyed, outputs, created_at, updated_at, " \
    "accounts, records_version, head_revision, epoch FROM deployments "

#define RECORD_LIST                                                                      \
    "?1, address, generation, type, instance, uid, provider_id, status, spec, outputs, " \
    "depends_on, protect, origin, created_at, updated_at, bound, live FROM records "

/* As enum step_text. */
#define STEP_LIST                                                                               \
    "steps.body, label, reason, type, instance, uid, origin, stage, after, before, resources, " \
    "depends_on "

#define RUN_LIST                                                                                                      \
    "runs.uid, deployments.uid, plans.hash, principal, words, status, runs.epoch, started_at, "                       \
    "ended_at, message, client, chain, chained, unchained FROM runs JOIN deployments ON deployments.id = deployment " \
    "JOIN plans ON plans.id = plan "

/* Whether a row of deployments is of the newest incarnation. */
#define IS_NEWEST(row)                                                                \
    "NOT EXISTS (SELECT 1 FROM deployments AS newer WHERE newer.name = " row ".name " \
    "AND newer.environment = " row ".environment AND newer.incarnation > " row ".incarnation)"

#define DEPLOYMENT_ID "(SELECT id FROM deployments WHERE uid = ?1)"

const char *const query_texts[QUERY_COUNT] = {
    [QUERY_FIND_DEPLOYMENT] =
        "SELECT " DEPLOYMENT_LIST
        "WHERE name = ?1 AND environment = ?2 ORDER BY incarnation DESC LIMIT 1",
    [QUERY_LIST_DEPLOYMENTS] = "SELECT " DEPLOYMENT_LIST
                               "AS listed WHERE " IS_NEWEST("listed") " ORDER BY name, environment",
    [QUERY_LOAD_RECORDS] =
        "SELECT " RECORD_LIST "WHERE deployment = " DEPLOYMENT_ID " ORDER BY address, generation",
    [QUERY_FIND_RECORDS] = "SELECT " RECORD_LIST "WHERE deployment = " DEPLOYMENT_ID
                           " AND address = ?2 ORDER BY generation",
    [QUERY_LIST_RECORDS] = "SELECT " RECORD_LIST "WHERE deployment = " DEPLOYMENT_ID
                           " AND address >= ?2 AND address < ?3 "
                           "ORDER BY address, generation LIMIT ?5 OFFSET ?4",
    [QUERY_COUNT_RECORDS] = "SELECT count(*) FROM records WHERE deployment = " DEPLOYMENT_ID,
    [QUERY_LIST_INSTANCES] =
        "SELECT DISTINCT instance FROM records WHERE deployment = " DEPLOYMENT_ID,
    [QUERY_FIND_OWNER] =
        "SELECT address, name, environment FROM records "
        "JOIN deployments AS owner ON owner.id = deployment "
        "WHERE (provider_id = ?3 OR records.uid = ?4) AND instance = ?2 AND owner.uid <> ?1 "
        "AND NOT is_destroyed AND " IS_NEWEST(
            "owner") " ORDER BY name, environment, address, generation LIMIT 1",
    [QUERY_LIST_REMAINS] =
        "SELECT created_at, body FROM remains WHERE deployment = " DEPLOYMENT_ID " ORDER BY id",
    [QUERY_HAS_FORGOTTEN] = "SELECT 1 FROM forgotten WHERE deployment = " DEPLOYMENT_ID " LIMIT 1",
    [QUERY_FIND_FORGOTTEN] = "SELECT type, instance, uid, provider_id, generation FROM forgotten "
                             "WHERE deployment = " DEPLOYMENT_ID " AND address = ?2 "
                             "AND has_document <= ?3 ORDER BY run DESC, generation DESC LIMIT 1",
    [QUERY_GET_REVISION] =
        "SELECT number, revisions.created_at, body, document, given FROM revisions "
        "JOIN deployments ON deployments.id = deployment "
        "WHERE uid = ?1 AND number = iif(?2 = 0, head_revision, ?2)",
    [QUERY_LIST_REVISIONS] = "SELECT number, created_at, body FROM revisions "
                             "WHERE deployment = " DEPLOYMENT_ID " AND (?2 = 0 OR number < ?2) "
                             "ORDER BY number DESC LIMIT ?3",
    [QUERY_READ_STEPS] =
        "SELECT " STEP_LIST "FROM plans CROSS JOIN steps ON steps.id >= plans.id << 32 "
        "AND steps.id < (plans.id + 1) << 32 "
        "WHERE plans.hash >= ?1 AND plans.hash < ?1 || 'g' ORDER BY steps.id",
    [QUERY_LIST_STEPS] =
        "SELECT " STEP_LIST
        "FROM steps WHERE id >= (SELECT plan << 32 | ?2 FROM runs WHERE uid = ?1) "
        "AND id < (SELECT (plan << 32 | ?2) + ?3 FROM runs WHERE uid = ?1) ORDER BY id",
    [QUERY_FIND_PLANS] =
        "SELECT body, document FROM plans WHERE hash >= ?1 AND hash < ?1 || 'g' LIMIT 2",
    [QUERY_LIST_MAKERS] = "SELECT body FROM makers "
                          "WHERE plan = (SELECT id FROM plans WHERE hash = ?1) ORDER BY id",
    [QUERY_LIST_APPROVALS] = "SELECT body FROM approvals "
                             "WHERE plan = (SELECT id FROM plans WHERE hash = ?1) ORDER BY id",
    [QUERY_FIND_SECRET] =
        "SELECT sealed FROM secrets WHERE deployment_uid = ?1 AND name = ?2 AND form = ?3",
    [QUERY_LIST_SECRETS] =
        "SELECT name, form, created_at FROM secrets WHERE deployment_uid = ?1 ORDER BY id",
    [QUERY_GET_RUN] = "SELECT " RUN_LIST "WHERE runs.uid = ?1",
    [QUERY_LIST_RUNS] =
        "SELECT " RUN_LIST "WHERE deployment = " DEPLOYMENT_ID " ORDER BY runs.id DESC LIMIT ?2",
    [QUERY_LIST_ALL_RUNS] = "SELECT " RUN_LIST "ORDER BY runs.id DESC LIMIT ?1",
    [QUERY_READ_JOURNAL] = "SELECT seq, ?1, time, kind, body, step FROM journal "
                           "WHERE run = (SELECT id FROM runs WHERE uid = ?1) AND seq > ?2 "
                           "ORDER BY seq LIMIT ?3",
    [QUERY_READ_AUDIT] = "SELECT number, time, kind, body, rows, head, digest FROM audit "
                         "WHERE number > ?1 ORDER BY number LIMIT ?2",
    [QUERY_LAST_AUDIT] = "SELECT ifnull(max(number), 0) FROM audit",
};

/* A change that finds no row and changes none was refused, but for those that may do nothing. */
const char *const change_texts[] = {
    [CHANGE_CHECK_EPOCH] =
        "SELECT 1 WHERE ifnull((SELECT epoch FROM deployments WHERE uid = ?1), 0) = ?2",
    [CHANGE_CHECK_VERSION] =
        "SELECT 1 WHERE ifnull((SELECT records_version FROM deployments WHERE uid = ?1), 0) = ?2",
    [CHANGE_CHECK_RUN] = "SELECT 1 FROM runs WHERE uid = ?1 AND status = ?2",
    [CHANGE_CHECK_ADOPTABLE] =
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM records JOIN deployments ON deployments.id = "
        "deployment WHERE provider_id = ?3 AND instance = ?2 AND deployments.uid <> ?1) "
        "AND NOT EXISTS (SELECT 1 FROM runs JOIN deployments ON deployments.id = deployment "
        "CROSS JOIN steps ON steps.id >= runs.plan << 32 AND steps.id < (runs.plan + 1) << 32 "
        "WHERE status = 'running' AND deployments.uid <> ?1 "
        "AND (substr(label, 1, 6) = 'adopt ' OR steps.body ->> 'kind' = 'adopt') "
        "AND ifnull(steps.instance, steps.body ->> 'instance') = ?2 "
        "AND steps.body ->> 'provider_id' = ?3)",
    [CHANGE_CHECK_APPROVALS] =
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM (SELECT body FROM approvals WHERE plan = "
        "(SELECT id FROM plans WHERE hash = ?1) ORDER BY id LIMIT -1 OFFSET ?2) "
        "WHERE body ->> 'decision' IS NOT NULL)",
    [CHANGE_CHECK_LINK] = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM approvals WHERE plan = "
                          "(SELECT id FROM plans WHERE hash = ?1) AND body ->> 'link' = ?2)",
    [CHANGE_TAKE_EPOCH] = "UPDATE deployments SET epoch = ?2 WHERE uid = ?1 AND epoch = ?2 - 1",
    [CHANGE_PUT_DEPLOYMENT] =
        "INSERT INTO deployments (uid, name, environment, incarnation, is_destroyed, outputs, "
        "created_at, updated_at, accounts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [CHANGE_GROW_VERSION] =
        "UPDATE deployments SET records_version = records_version + 1 WHERE uid = ?1",
    [CHANGE_GROW_HEAD] = "UPDATE deployments SET head_revision = head_revision + 1 WHERE uid = ?1",
    [CHANGE_ADD_REVISION] =
        "INSERT INTO revisions (deployment, number, created_at, body, document, given) "
        "SELECT id, head_revision, ?2, ?3, ?4, ?5 FROM deployments WHERE uid = ?1",
    [CHANGE_PUT_PLAN] = "INSERT INTO plans (hash, deployment_uid, created_at, body, document) "
                        "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (hash) DO NOTHING",
    /* Its first parameter is the number of the plan's row. */
    [CHANGE_ADD_STEPS] = "INSERT INTO steps (id, plan, body, label, reason, type, "
                         "instance, uid, origin, stage, after, before, resources, depends_on) "
                         "VALUES (?1 << 32 | ?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
                         "?13, ?14) ON CONFLICT (id) DO NOTHING",
    /* The same. */
    [CHANGE_ADD_MAKER] = "INSERT INTO makers (plan, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    [CHANGE_ADD_APPROVAL] =
        "INSERT INTO approvals (plan, body) SELECT id, ?2 FROM plans WHERE hash = ?1",
    [CHANGE_PUT_SECRET] =
        "INSERT INTO secrets (deployment_uid, name, form, created_at, sealed) "
        "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (deployment_uid, name, form) DO NOTHING",
    [CHANGE_REMOVE_SECRETS] = "DELETE FROM secrets WHERE deployment_uid = ?1",
    [CHANGE_PUT_RUN] =
        "INSERT INTO runs (uid, deployment, plan, principal, words, status, epoch, started_at, "
        "ended_at, message, client, chain) "
        "VALUES (?1, (SELECT id FROM deployments WHERE uid = ?2), "
        "(SELECT id FROM plans WHERE hash = ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?1)",
    [CHANGE_PUT_RECORD] =
        "INSERT INTO records (deployment, address, generation, type, instance, uid, provider_id, "
        "status, spec, outputs, depends_on, protect, origin, created_at, updated_at, bound, live) "
        "SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17 "
        "FROM deployments WHERE uid = ?1 ON CONFLICT (deployment, address, generation) "
        "DO UPDATE SET type = ?4, instance = ?5, uid = ?6, provider_id = ?7, status = ?8, "
        "spec = ?9, outputs = ?10, depends_on = ?11, protect = ?12, origin = ?13, "
        "created_at = ?14, updated_at = ?15, bound = ?16, live = ?17",
    [CHANGE_REMOVE_RECORD] = "DELETE FROM records WHERE deployment = " DEPLOYMENT_ID
                             " AND address = ?2 AND generation = ?3",
    [CHANGE_ADD_REMAINS] = "INSERT INTO remains (deployment, created_at, body) "
                           "SELECT id, ?2, ?3 FROM deployments WHERE uid = ?1",
    [CHANGE_ADD_FORGOTTEN] =
        "INSERT INTO forgotten (deployment, run, has_document, address, type, instance, uid, "
        "provider_id, generation) "
        "SELECT deployment, id, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM runs WHERE uid = ?1",
    /* Its first parameter is the number of the run's row. */
    [CHANGE_JOURNAL] = "INSERT INTO journal (run, time, kind, body, step) "
                       "VALUES (?1, ?2, ?3, ?4, ?5)",
    /* All of it is computed: number and digest follow from the entry before. */
    [CHANGE_AUDIT] = "INSERT INTO audit (number, time, kind, body, rows, head, digest) "
                     "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
};

const char *const update_texts[CHANGE_KIND_COUNT] = {
    [CHANGE_PUT_DEPLOYMENT] =
        ("UPDATE deployments SET is_destroyed = ?5, outputs = ?6, created_at = ?7, updated_at = ?8, "
         "accounts = ?9 WHERE uid = ?1 AND name = ?2 AND environment = ?3 AND incarnation = ?4"),
    [CHANGE_PUT_RUN] =
        ("UPDATE runs SET principal = ?4, words = ?5, status = ?6, epoch = ?7, started_at = ?8, "
         "ended_at = ?9, message = ?10, client = ?11 WHERE uid = ?1"),
};
