;; Is an executor of a contract that is not written yet.

(component
  (instance $run)
  (export "apflow:plugin/run@9.0.0" (instance $run)))
