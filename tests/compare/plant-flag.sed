# A rotation by an immediate count leaves the wrong carry.
s/(r & 1) | ((TOP(T, r) ^ (r & 1))/(~r \& 1) | ((TOP(T, r) ^ (r \& 1))/
