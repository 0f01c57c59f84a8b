;; Exports what an executor exports, with nothing in it.

(component
  (instance $run)
  (export "apflow:plugin/run@0.1.0" (instance $run)))
