;; Writes to standard output, without an end.
(component
  (import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer 1 $error (type $of))
    (export "error" (type $error (eq $of)))
    (type $ends (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $end (eq $ends)))
    (export "[method]output-stream.blocking-write-and-flush" (func
      (param "self" (borrow $stream)) (param "contents" (list u8))
      (result (result (error $end)))))))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $stream (type $of))
    (export "output-stream" (type $stream (eq $of)))
    (export "get-stdout" (func (result (own $stream))))))
  (core module $libc (memory (export "memory") 1))
  (core instance $libc (instantiate $libc))
  (core func $get (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower
    (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory (core memory $libc "memory"))))
  (core module $main
    (import "host" "get" (func $get (result i32)))
    (import "host" "write" (func $write (param i32 i32 i32 i32)))
    (func (export "run") (result i32) (local $stream i32)
      (local.set $stream (call $get))
      (loop
        (call $write (local.get $stream) (i32.const 64) (i32.const 4096) (i32.const 0))
        (br 0))
      unreachable))
  (core instance $main (instantiate $main (with "host" (instance
    (export "get" (func $get))
    (export "write" (func $write))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
