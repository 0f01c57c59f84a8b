;; Counts and counts, and would be done in a hundred years.

(component
  (core module $main
    (func (export "run") (result i32)
      (local $count i64)
      (loop $again
        (local.set $count (i64.add (local.get $count) (i64.const 1)))
        (br_if $again (i64.ne (local.get $count) (i64.const 0))))
      (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
