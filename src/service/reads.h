/*
 * What one deployment reads of another: values that its document refers to, and resources that it
 * says exist already. Kept in the plan and with the revision, so that the plan holds only while
 * they are so, and so that what is read is not removed unnoticed. Private to service/.
 *
 * Reads are a map "NAME@ENVIRONMENT" -> {uid, revision, records_version, values: {"web.address":
 * VALUE}}; of a resource that exists already the key is its address and the value its uid.
 */
#pragma once

#include "service/service.h"

/* Zero-initialise it. */
struct reader {
    struct service *service; /* borrowed */
    struct map opened;       /* "NAME@ENVIRONMENT" -> owned struct opened */
    struct map by_uid;       /* uid -> the same, borrowed */
};
void reader_done(struct reader *reader);

/*
 * The value of an output of another deployment, which is sought in the same environment, else in
 * the only one it has. ERROR_NOT_FOUND names what is not there. The caller unrefs *ret_value.
 */
CO_FN int reader_read(struct reader *reader, const char *name, const char *environment,
                      const char *address, const char *path, struct value **ret_value,
                      struct error *err);
/* All that was read so far. The caller unrefs it. */
struct value *reader_list(const struct reader *reader);
/* Adds to a list of reads that a resource of another deployment is referred to. The caller unrefs
 * what it gives. */
struct value *reads_with_resource(const struct value *reads,
                                  const struct store_deployment *deployment,
                                  const struct record *record);

/* Tells every deployment that reads what this plan removes: then it must not be approved. */
CO_FN int reads_check_users(struct service *service, const struct plan *plan,
                            struct diagnostics *diagnostics, struct error *err);
