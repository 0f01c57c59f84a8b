;; Takes its memory from four memories, so that each looks small.

(component
  (core module $part
    (memory 1)
    (func (export "run") (result i32)
      (loop $again
        (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
      (i32.const 0)))
  (core instance $a (instantiate $part))
  (core instance $b (instantiate $part))
  (core instance $c (instantiate $part))
  (core instance $d (instantiate $part))
  (core module $main
    (import "a" "run" (func $a (result i32)))
    (import "b" "run" (func $b (result i32)))
    (import "c" "run" (func $c (result i32)))
    (import "d" "run" (func $d (result i32)))
    (func (export "run") (result i32)
      (drop (call $a)) (drop (call $b)) (drop (call $c)) (drop (call $d))
      unreachable))
  (core instance $main (instantiate $main
    (with "a" (instance $a)) (with "b" (instance $b))
    (with "c" (instance $c)) (with "d" (instance $d))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $exported (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $exported)))
