;; Reads bytes in hexadecimal from its first argument, and reports them as a text.

(component
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-arguments" (func (result (list string))))))
  (import "apflow:plugin/log@0.1.0" (instance $log
    (export "progress" (func (param "fraction" f64) (param "message" string)))))
  (core module $memory
    (memory (export "memory") 16)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      ;; The next free place with this alignment.
      (local.set $at (i32.and
        (i32.add (global.get $free) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $memory (instantiate $memory))
  (alias export $environment "get-arguments" (func $arguments))
  (alias export $log "progress" (func $progress))
  (core func $arguments (canon lower (func $arguments)
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $progress (canon lower (func $progress) (memory (core memory $memory "memory"))))
  (core module $main
    (import "memory" "memory" (memory 16))
    (import "host" "arguments" (func $arguments (param i32)))
    (import "host" "progress" (func $progress (param f64 i32 i32)))
    (func $digit (param $at i32) (result i32)
      (local $byte i32)
      (local.set $byte (i32.load8_u (local.get $at)))
      (select
        (i32.sub (local.get $byte) (i32.const 48))
        (i32.sub (local.get $byte) (i32.const 87))
        (i32.lt_u (local.get $byte) (i32.const 58))))
    (func (export "run") (result i32)
      (local $argument i32) (local $from i32) (local $end i32) (local $to i32)
      (call $arguments (i32.const 8))
      ;; The argument before is the name of the program.
      (local.set $argument (i32.add (i32.load (i32.const 8)) (i32.const 8)))
      (local.set $from (i32.load (local.get $argument)))
      (local.set $end (i32.add (local.get $from) (i32.load offset=4 (local.get $argument))))
      (local.set $to (local.get $from))
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
          (i32.store8 (local.get $to) (i32.or
            (i32.shl (call $digit (local.get $from)) (i32.const 4))
            (call $digit (i32.add (local.get $from) (i32.const 1)))))
          (local.set $from (i32.add (local.get $from) (i32.const 2)))
          (local.set $to (i32.add (local.get $to) (i32.const 1)))
          (br $next)))
      (local.set $from (i32.load (local.get $argument)))
      (call $progress (f64.const 0.5) (local.get $from) (i32.sub (local.get $to) (local.get $from)))
      (i32.const 0)))
  (core instance $main (instantiate $main
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "arguments" (func $arguments)) (export "progress" (func $progress))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
