;; Answers the host's wish for memory with an address outside its own.

(component
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-arguments" (func (result (list string))))))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (i32.const -4)))
  (core instance $memory (instantiate $memory))
  (alias export $environment "get-arguments" (func $arguments))
  (core func $arguments (canon lower (func $arguments)
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core module $main
    (import "host" "arguments" (func $arguments (param i32)))
    (func (export "run") (result i32) (call $arguments (i32.const 8)) (i32.const 0)))
  (core instance $main (instantiate $main
    (with "host" (instance (export "arguments" (func $arguments))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
