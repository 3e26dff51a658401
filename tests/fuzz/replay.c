/* Plays every file of a corpus folder, its only argument, to a fuzz target. Prints TAP. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static void play(const char *path)
{
    FILE *file = fopen(path, "rbe");
    MUST(file);
    MUST(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    MUST(size >= 0 && fseek(file, 0, SEEK_SET) == 0);
    /* Exactly as large as the input, so that a sanitizer sees a read past its end. */
    uint8_t *text = malloc(size > 0 ? (size_t)size : 1);
    MUST(text && fread(text, 1, (size_t)size, file) == (size_t)size);
    MUST(LLVMFuzzerTestOneInput(text, (size_t)size) == 0);
    free(text);
    fclose(file);
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int n_entries = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    int n = 0;
    MUST(n_entries >= 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < n_entries; i++) {
        if (entries[i]->d_name[0] != '.') {
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
            printf("# %s\n", path);
            play(path);
            printf("ok %d - %s\n", ++n, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    printf("1..%d\n", n);
    return n == 0;
}
