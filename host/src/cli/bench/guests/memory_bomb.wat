;; Takes memory and writes to all of it, until there is no more.
(component
  (core module $main
    (memory 1)
    (func (export "run") (result i32) (local $from i32)
      (loop
        (local.set $from (memory.grow (i32.const 16)))
        (if (i32.eq (local.get $from) (i32.const -1)) (then unreachable))
        (memory.fill
          (i32.shl (local.get $from) (i32.const 16))
          (i32.const 1)
          (i32.const 0x100000))
        (br 0))
      unreachable))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
