#!/usr/bin/env python3
"""Turns files into a C source that holds them: embed.py TABLE OUTPUT FILE..."""
import os
import sys


def main():
    table, output, *files = sys.argv[1:]
    lines = ['#include "base/embedded.h"', '']
    rows = []
    for number, path in enumerate(sorted(files, key=os.path.basename)):
        with open(path, 'rb') as file:
            content = file.read()
        lines.append(f'static const char content_{number}[] = {{')
        for start in range(0, len(content), 24):
            lines.append('    ' + ' '.join(f'{byte if byte < 128 else byte - 256},'
                                           for byte in content[start:start + 24]))
        lines.append('    0};')
        rows.append(f'    {{"{os.path.basename(path)}", content_{number}, {len(content)}}},')
    lines += ['', f'const struct embedded_file {table}[] = {{', *rows, '    {0, 0, 0}};', '']
    with open(output, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines))


main()
