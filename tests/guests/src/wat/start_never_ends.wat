;; Works on nothing in its start function, before anything of it can be called.

(component
  (core module $main
    (func $start (loop $again (br $again)))
    (start $start)
    (func (export "run") (result i32) (i32.const 0)))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
