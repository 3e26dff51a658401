/*
 * A twin for the fraction of a second: it makes of this machine's kernel what every twin needs, and
 * nothing of it stays. `parley-twin trial` prints one line of JSON:
 *
 * {"findings": [{"is_error", "detail", "help"}]}
 *
 * With an error no twin can stand here; the others tell what a twin will be without. help is null
 * where nothing can be done.
 */
#pragma once

int trial_main(void);
