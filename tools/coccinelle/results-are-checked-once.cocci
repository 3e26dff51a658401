// error_set() and its kin return the negative code themselves: failing is one line.
@@
expression list arguments;
identifier fail =~ "^error_(set|set_errno|wrap|move)$";
identifier r;
@@
- r = fail(arguments);
- return r;
+ return fail(arguments);
