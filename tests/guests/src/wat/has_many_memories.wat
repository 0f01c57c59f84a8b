;; Is made of more memories than a component may have.

(component
  (core module $part
    (memory 1)
    (func (export "run") (result i32) (i32.const 0)))
  (core instance (instantiate $part))
  (core instance (instantiate $part))
  (core instance (instantiate $part))
  (core instance (instantiate $part))
  (core instance (instantiate $part))
  (core instance $main (instantiate $part))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
