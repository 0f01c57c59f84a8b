;; Writes lines of 1000 bytes to its log, without an end.
(component
  (import "apflow:plugin/log@0.1.0" (instance $log
    (type $levels (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $levels)))
    (type $fields (record (field "name" string) (field "value" string)))
    (export "field" (type $field (eq $fields)))
    (export "write" (func
      (param "level" $level) (param "message" string) (param "fields" (list $field))))))
  (core module $libc (memory (export "memory") 1))
  (core instance $libc (instantiate $libc))
  (core func $write (canon lower (func $log "write") (memory (core memory $libc "memory"))))
  (core module $main
    (import "host" "write" (func $write (param i32 i32 i32 i32 i32)))
    (func (export "run") (result i32)
      (loop
        (call $write
          (i32.const 2) (i32.const 0) (i32.const 1000) (i32.const 0) (i32.const 0))
        (br 0))
      unreachable))
  (core instance $main (instantiate $main
    (with "host" (instance (export "write" (func $write))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
