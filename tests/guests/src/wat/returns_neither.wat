;; Returns something that is neither success nor failure.

(component
  (core module $main (func (export "run") (result i32) (i32.const 7)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
