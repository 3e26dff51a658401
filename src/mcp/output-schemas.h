/*
 * What the structured result of each tool has, as JSON Schema: every property says what it is, in
 * few words, since a client pays for each of them in every conversation. Only tools.c includes
 * this.
 */
#pragma once

/* clang-format off */
#define FIELD(name, type, text) "\"" name "\":{\"type\":\"" type "\",\"description\":\"" text "\"}"
/* A list of objects; text says what they have. */
#define LIST(name, text) "\"" name "\":{\"type\":\"array\",\"items\":{\"type\":\"object\"},\"description\":\"" text "\"}"
#define OUTPUT(fields) "{\"type\":\"object\",\"properties\":{" fields "}}"
#define OUTPUT_WITH(required, fields) "{\"type\":\"object\",\"required\":[" required "],\"properties\":{" fields "}}"

#define PLAN_FIELDS(steps) \
    FIELD("plan", "string", "Its hash") "," \
    FIELD("deployment", "string", "Whose") "," \
    FIELD("environment", "string", "Where") "," \
    FIELD("changes", "boolean", "False: nothing to do") "," \
    FIELD("needs_name", "boolean", "Name must be typed") "," \
    FIELD("counts", "object", "Steps by kind") "," \
    LIST("steps", steps) "," \
    FIELD("steps_in_all", "integer", "Steps that fit")
#define PLAN_OUTPUT OUTPUT_WITH("\"plan\",\"changes\"", PLAN_FIELDS("As of plan_show"))
#define PLAN_SHOW_OUTPUT OUTPUT_WITH("\"plan\",\"changes\"", PLAN_FIELDS("First 50: id, kind, address, type, instance, reason, irreversible") "," FIELD("full", "object", "With full: the whole plan"))
#define APPROVE_OUTPUT OUTPUT_WITH("\"plan\"", \
    FIELD("plan", "string", "Hash of what was approved") "," \
    FIELD("demanded", "object", "The level needed, and what says so") "," \
    FIELD("makers", "array", "Who made the plan") "," \
    FIELD("approvals", "array", "Who approved, at which level, and what that proves"))
#define RUN_OUTPUT OUTPUT_WITH("\"run\"", \
    FIELD("run", "string", "Id, for run_show") "," \
    FIELD("plan", "string", "Hash of what it carries out"))
#define RUN_SHOW_OUTPUT OUTPUT_WITH("\"id\",\"status\"", \
    FIELD("id", "string", "The run") "," \
    FIELD("plan", "string", "Hash of its plan") "," \
    FIELD("status", "string", "How far it is") "," \
    FIELD("principal", "string", "Who began it") "," \
    FIELD("client", "string", "With what program") "," \
    FIELD("words", "string", "In which words") "," \
    FIELD("started_at", "integer", "Microseconds since 1970") "," \
    FIELD("ended_at", "integer", "0: goes on") "," \
    FIELD("message", "string", "Why it ended early"))
#define STATUS_OUTPUT OUTPUT( \
    LIST("deployments", "All: name, environment, state, revision, resources (their number), updated_at") "," \
    FIELD("deployment", "object", "The one asked for") "," \
    LIST("resources", "Its: address, type, instance, state, fidelity, status, problem") "," \
    FIELD("next_page", "integer", "Of resources, where this one is full") "," \
    LIST("sections", "More, by title") "," \
    LIST("left", "What it left behind") "," \
    FIELD("outputs", "object", "Of its document"))
#define HISTORY_OUTPUT OUTPUT( \
    LIST("revisions", "number, plan, run, principal, words, created_at") "," \
    LIST("runs", "id, plan, status, principal, words, started_at, ended_at, message") "," \
    LIST("events", "What happened by itself"))
#define DRIFT_OUTPUT OUTPUT( \
    LIST("deployments", "deployment, environment, revision, drifted, resources (each with differences), put_back (a plan), adopt, problem if it cannot be told"))
#define DOCUMENT_OUTPUT OUTPUT( \
    FIELD("document", "string", "YAML text") "," \
    FIELD("revision", "integer", "Its number"))
#define RESOURCE_OUTPUT OUTPUT( \
    FIELD("next_page", "integer", "Where this one is full") "," \
    LIST("resources", "address, type, instance, status, spec, outputs, depends_on, provider_id, created_at, updated_at"))
#define TYPE_OUTPUT OUTPUT( \
    LIST("types", "name, description; of one also stage, properties, outputs, drivers"))
#define LOG_OUTPUT OUTPUT( \
    LIST("lines", "time, source, text") "," \
    FIELD("lines_in_all", "integer", "Lines that fit"))
#define AUDIT_OUTPUT OUTPUT( \
    LIST("entries", "number, time, kind, principal, client, words, plan, run, digest"))
/* clang-format on */
