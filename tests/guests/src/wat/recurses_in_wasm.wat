;; Calls itself with nothing in its frames but the way back.

(component
  (core module $main
    (func $deeper (export "run") (result i32) (i32.add (call $deeper) (i32.const 1))))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
