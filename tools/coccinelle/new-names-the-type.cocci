// NEW() and NEW_ARRAY() name the type once, so that size and type cannot drift apart.
@@
type T;
@@
- mem_zeroed(1, sizeof(T))
+ NEW(T)

@@
type T;
expression count;
@@
- mem_zeroed(count, sizeof(T))
+ NEW_ARRAY(T, count)
