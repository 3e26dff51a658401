/*
 * The catalog: resource types as data. The built-in types (catalog/builtin/) are embedded in the
 * program; more come from catalog/ beside the site without a compiler. docs/catalog.md
 * describes the files.
 */
#pragma once

#include "base/error.h"
#include "model/diagnostic.h"
#include "model/plan.h"
#include "model/value.h"

#include <stdbool.h>
#include <stddef.h>

struct catalog;

/* What a property may hold, at any depth. */
enum schema_kind {
    SCHEMA_ANY,
    SCHEMA_BOOL,
    SCHEMA_INTEGER,
    SCHEMA_DECIMAL,
    SCHEMA_STRING,
    SCHEMA_CIDR,     /* 10.0.0.0/24; host bits are an error */
    SCHEMA_ADDRESS,  /* an IPv4 or IPv6 address */
    SCHEMA_NETWORK,  /* a CIDR, or an address: canonical is always a CIDR, 10.0.0.7/32 */
    SCHEMA_DURATION, /* 30s, 5m, 1h30m, 30d; canonical in the largest whole unit */
    SCHEMA_SIZE,     /* 512Mi, 2Gi; canonical in the largest whole unit */
    SCHEMA_RATE,     /* 1000/minute; second, minute, hour */
    SCHEMA_PORT,     /* integer, or "8000-8100" */
    SCHEMA_CLOCK,    /* of a day, "08:30" */
    SCHEMA_DATE,     /* "2027-01-31T08:30:00Z" */
    SCHEMA_DOMAIN,   /* canonical in small letters */
    SCHEMA_PATH,     /* of a URL: begins with "/", without spaces */
    SCHEMA_LIST,
    SCHEMA_SET,
    SCHEMA_MAP,    /* user-chosen keys, all of one schema */
    SCHEMA_OBJECT, /* fixed fields */
    SCHEMA_KIND_COUNT
};
const char *schema_kind_to_string(enum schema_kind kind);
/* SCHEMA_KIND_COUNT when there is no such kind. */
enum schema_kind schema_kind_from_string(const char *text);

struct schema {
    enum schema_kind kind;
    char *description; /* owned; NULL without */
    bool is_required;
    bool is_secret;          /* always: shown nowhere, and all that is below it */
    bool may_be_secret;      /* a secret may stand in it, and in all that is below it */
    bool forces_replacement; /* a change of it replaces the resource */
    bool is_one_or_list;     /* a single item stands for a list of one */
    bool has_name_keys;      /* of a map: each key is a name as text_is_name() has it */
    bool is_map_or_keys;     /* of a map of objects: a list of keys stands for one of defaults */
    struct value *fallback;  /* owned; what it is when never set and removed; NULL: none */
    struct value *allowed;   /* owned list of allowed values; NULL: all */
    struct value *aliases; /* owned map of spelling -> canonical ("pass" -> "allow"); NULL: none */
    /* Of a number; of a string its length, of a list, set or map its items, of a duration its
     * seconds. */
    bool has_minimum, has_maximum;
    double minimum, maximum;
    /* A reference to another resource: the canonical names of the types it may lead to. Keywords
     * and literals are tried first. */
    struct value *references; /* owned list, "*" for any; NULL: no reference */
    struct value
        *keywords;        /* owned map of keyword -> canonical ("any" -> "0.0.0.0/0"); NULL: none */
    struct schema *items; /* owned: of a list, set or map */
    bool is_local;        /* of a text: it names a file or folder of the machine that plans */
    char *digest_of; /* owned: the property with the folder whose digest it is, which Parley fills
                        in; NULL: none */
    char *digest_in; /* owned: of a text SOURCE:..., the property of the type, a map, that has the
                        digest of a source that is a path, which Parley fills in; NULL: none */
    struct value *made_by; /* owned list of types: a resource of these that has the same text in a
                              property of the same name, and a digest, comes first; NULL: none */
    struct schema_field *fields; /* owned: of an object, sorted by name */
    size_t n_fields;
};
struct schema_field {
    char *name; /* owned */
    struct schema schema;
};
/* Whether it, or something in it, is always secret. */
bool schema_has_secrets(const struct schema *schema);
/* NULL when the object has no such field. */
const struct schema *schema_field(const struct schema *object, const char *name);

struct type_output {
    char *name; /* owned */
    char *type; /* owned: "string", "integer", "list", "any" */
    char *from; /* owned: the property whose value it has, known at plan; NULL: only the provider
                   knows */
    struct value
        *changes_with; /* owned list of properties whose change makes it unknown; NULL: stable */
    char *description; /* owned; may be NULL */
};

struct type_driver {
    char *driver;   /* owned, "twin" */
    char *fidelity; /* owned, "real" or "stand-in" */
    char *note;     /* owned; may be NULL */
};

struct resource_type {
    char *name;            /* owned, "opnsense:network:vlan" */
    char *provider;        /* owned, "opnsense" */
    char *description;     /* owned; may be NULL */
    struct value *aliases; /* owned list of its other names; NULL: none */
    int64_t version;
    enum stage stage;
    struct schema schema;        /* an object */
    bool has_secrets;            /* some property is always secret */
    struct type_output *outputs; /* owned */
    size_t n_outputs;
    struct type_driver *drivers; /* owned, in order of preference */
    size_t n_drivers;
    struct value *unique; /* owned list of property lists no two resources of an instance may share;
                             may be NULL */
    struct value *ascending; /* owned list of property lists whose numbers must not descend, [min,
                                max]; may be NULL */
    bool is_ordered;         /* document order matters (firewall rules) */
    bool creates_before_destroy; /* a new generation comes before the old one goes, always */
    bool is_irreversible;        /* a delete loses what cannot be brought back (data) */
    char *repeat;     /* owned: how a create repeats: "key", "token", "tag", "natural", "none" */
    int64_t token_us; /* how long a token is known, where a create repeats by one */
    char *group; /* owned: changes of types that share it begin one after the other, or as many as
                    the site says; NULL: none */
    double seconds[3]; /* of create, update, delete, as the catalog guesses */
};

/*
 * Reads the built-in types, then every file of the folder that ends in .yaml (folder may be NULL or
 * missing). Faults of a file are diagnostics with its name; the catalog is given when there are
 * none. Fails when the folder or a file of it cannot be read.
 */
int catalog_open(const char *folder, struct catalog **ret_catalog, struct diagnostics *diagnostics,
                 struct error *err);
void catalog_free(struct catalog *catalog); /* accepts NULL */
DEFINE_CLEANUP(struct catalog *, catalog_free)

/* SHA-256 of all that was read. Borrowed. */
const char *catalog_digest(const struct catalog *catalog);

/* By canonical name or alias; NULL when there is none. Borrowed. */
const struct resource_type *catalog_find(const struct catalog *catalog, const char *name);
/* The nearest name, or NULL. */
const char *catalog_nearest(const struct catalog *catalog, const char *name);
size_t catalog_count(const struct catalog *catalog);
const struct resource_type *catalog_at(const struct catalog *catalog, size_t index);

const struct type_output *type_find_output(const struct resource_type *type, const char *name);
const struct type_driver *type_find_driver(const struct resource_type *type, const char *driver);

/*
 * One fault of a spec: where it is ("services.web.port", "rules[0].expr"; "" is the spec itself,
 * and a missing property is told at what lacks it), whether it is WRONG_KIND, BAD_VALUE,
 * UNKNOWN_PROPERTY or MISSING_PROPERTY, a sentence that names the property, and what to do (may be
 * NULL). All borrowed for the call.
 */
typedef void (*spec_fault)(void *argument, const char *path, enum diagnostic_code code,
                           const char *help, const char *detail);

/*
 * The canonical form of a spec: aliases and keywords replaced, one-or-list made a list, sets
 * sorted, CIDRs, domains, durations and rates normalised; a text that says a number or truth value
 * is taken for it where one is wanted, since variables from outside are texts. What is null is left
 * out, as never set; unknowns and secrets stay, and so does what has a fault. Fallbacks are not
 * filled in, and whether references lead anywhere is not asked. Tells every fault; fault may be
 * NULL. The caller unrefs what it gives.
 */
struct value *type_check(const struct resource_type *type, struct value *spec, spec_fault fault,
                         void *argument);
/* As type_check() where one fault is enough: ERROR_INVALID names the path and what is wrong. */
int type_canonical(const struct resource_type *type, struct value *spec, struct value **ret_spec,
                   struct error *err);
/* The canonical form of one property's value; NULL when it is not allowed. */
struct value *schema_canonical(const struct schema *schema, struct value *value);

/*
 * Tells each secret, and each unknown that will be made of one, in a canonical spec where it would
 * be shown (MISPLACED_SECRET), and each plain value in a property that is always secret
 * (PLAIN_SECRET), as type_check() tells.
 */
void type_check_secrets(const struct resource_type *type, const struct value *spec,
                        spec_fault fault, void *argument);

/*
 * Whether a recorded or live property equals the wanted one by this schema; neither must be
 * canonical. A wanted NULL means never set: equal to anything. A wanted unknown equals nothing.
 * Another NULL, or null, is the fallback. Fields of an object that are not wanted do not count,
 * keys of a map do.
 */
bool schema_equal(const struct schema *schema, const struct value *wanted,
                  const struct value *other);

/*
 * Of what was seen the part that a spec manages: the fields that it sets and that are there, as
 * they are there; what may be secret is left out. Gives a new reference.
 */
struct value *type_managed_part(const struct resource_type *type, const struct value *spec,
                                struct value *seen);

/*
 * Calls found() for each reference in a canonical spec, in the order of the properties' names: its
 * path, the name or address it holds and its schema. Literals and keywords are left out. Items of a
 * list of references share its path ("servers"), in its order; anything else has its own
 * ("services.web.hosts").
 */
int type_references(const struct resource_type *type, const struct value *spec,
                    int (*found)(void *argument, const char *path, const char *name,
                                 const struct schema *schema, struct error *err),
                    void *argument, struct error *err);
/* Whether a canonical value of this schema is a reference and no keyword or literal. */
bool schema_is_reference(const struct schema *schema, const struct value *value);
