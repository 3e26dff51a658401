/* What spatch must know of our macros to parse the functions that use them. */
#define CLEANUP(function)
#define CO_FN
#define TEST(name) void name(void)
