// Our destructors accept NULL, so nobody asks before calling one; those of libraries may not.
@@
expression E;
identifier destroy =~ "^(?!nft_|json_|gnutls_|sqlite3_|curl_|yaml_parser_)[a-z_]*(_free|_unref)$";
@@
- if (E)
-     destroy(E);
+ destroy(E);

@@
expression E;
identifier destroy =~ "^(?!nft_|json_|gnutls_|sqlite3_|curl_|yaml_parser_)[a-z_]*(_free|_unref)$";
@@
- if (E != NULL)
-     destroy(E);
+ destroy(E);
