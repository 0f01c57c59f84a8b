;; Works on nothing, without an end and without a call to the host.
(component
  (core module $main
    (func (export "run") (result i32)
      (loop (br 0))
      unreachable))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
