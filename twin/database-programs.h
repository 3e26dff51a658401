/* Which of the PostgreSQLs on this machine is used. */
#pragma once

#include "base/error.h"

/* Where PostgreSQL's programs are; found once. */
struct database_programs {
    char *postgres; /* owned, as all */
    char *initdb;
    char *base_backup;
    char *rewind;
};

void database_programs_done(struct database_programs *programs);
/* Takes the newest version that is installed. ERROR_MISSING names the package. */
int database_find_programs(struct database_programs *ret_programs, struct error *err);
