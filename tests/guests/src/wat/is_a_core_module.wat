;; Is no component.

(module (func (export "_start")))
