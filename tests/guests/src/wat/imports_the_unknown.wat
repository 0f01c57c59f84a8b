;; Imports what no host should have.

(component
  (import "evil:kernel/shell@1.0.0" (instance
    (export "execute" (func (param "command" string)))))
  (core module $main (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
