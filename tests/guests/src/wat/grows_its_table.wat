;; Grows a table until it is refused, and then gives up.

(component
  (core module $main
    (table 1 funcref)
    (func (export "run") (result i32)
      (loop $again
        (br_if $again
          (i32.ne (table.grow 0 (ref.null func) (i32.const 4096)) (i32.const -1))))
      unreachable))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
