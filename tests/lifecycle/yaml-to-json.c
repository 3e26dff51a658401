/* Prints each YAML file named as JSON, a line each, as the program reads it; null for what is no
 * YAML. */
#include "base/memory.h"
#include "base/world.h"
#include "model/json.h"
#include "model/yaml.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct diagnostics diagnostics = {0};
        CLEANUP(mem_freep) char *text = NULL;
        CLEANUP(yaml_tree_freep) struct yaml_tree *tree = NULL;
        size_t size = 0;
        if (world_read_file(argv[i], 1 << 24, &text, &size, NULL) < 0)
            return 1;
        yaml_read(argv[i], text, size, &yaml_default_limits, &tree, &diagnostics);
        bool is_sound = tree && !diagnostics_has_errors(&diagnostics);
        CLEANUP(value_unrefp)
        struct value *value = is_sound ? yaml_to_value(yaml_root(tree)) : value_null();
        CLEANUP(mem_freep) char *line = json_text(value);
        puts(line);
        diagnostics_done(&diagnostics);
    }
    return 0;
}
