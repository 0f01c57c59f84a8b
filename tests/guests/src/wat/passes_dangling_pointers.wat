;; Passes a text that ends beyond its memory.

(component
  (import "apflow:plugin/log@0.1.0" (instance $log
    (export "progress" (func (param "fraction" f64) (param "message" string)))))
  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (alias export $log "progress" (func $progress))
  (core func $progress (canon lower (func $progress) (memory (core memory $memory "memory"))))
  (core module $main
    (import "host" "progress" (func $progress (param f64 i32 i32)))
    (func (export "run") (result i32)
      (call $progress (f64.const 0.5) (i32.const 65530) (i32.const 2147483647))
      (i32.const 0)))
  (core instance $main (instantiate $main
    (with "host" (instance (export "progress" (func $progress))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
