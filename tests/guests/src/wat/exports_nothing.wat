;; Has nothing that could be called.

(component)
